import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Clock } from './clock.js';
import type { Time } from '../offgrid/replication/ports.js';

/** The time of this machine. */
export function systemTime(clock: Clock): Time {
  return {
    now: () => clock.now(),
    sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
    turn: () => nextTurn(),
    random: () => Math.random(),
  };
}
