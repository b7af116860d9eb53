import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

/** Where time and chance enter; tests pass their own. */
export interface Clock {
  readonly now: () => Date;
}

export const systemClock: Clock = { now: () => new Date() };

/** Where time and chance enter the replicator: a simulation has its own. */
export interface Time {
  now(): Date;
  /** Resolves after a while, or when the signal comes. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Lets others have a turn. */
  turn(): Promise<void>;
  /** From 0 to below 1. */
  random(): number;
}

/** The time of this machine. */
export function systemTime(clock: Clock): Time {
  return {
    now: () => clock.now(),
    sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
    turn: () => nextTurn(),
    random: () => Math.random(),
  };
}
