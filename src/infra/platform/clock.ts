import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

/** The source of the current time; tests pass their own. */
export interface Clock {
  readonly now: () => Date;
}

/** The clock of this machine. */
export const systemClock: Clock = { now: () => new Date() };

/** The source of time and randomness for the replicator; a simulation has its own. */
export interface Time {
  now(): Date;
  /** Resolves after a number of milliseconds, or when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Gives other work a turn of the event loop. */
  turn(): Promise<void>;
  /** A random number from 0 to below 1. */
  random(): number;
}

/** The time and randomness of this machine. */
export function systemTime(clock: Clock): Time {
  return {
    now: () => clock.now(),
    sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
    turn: () => nextTurn(),
    random: () => Math.random(),
  };
}

/** The seconds since a time of `performance.now()`, with one decimal, for messages. */
export function secondsSince(startedAt: number): string {
  return ((performance.now() - startedAt) / 1_000).toFixed(1);
}
