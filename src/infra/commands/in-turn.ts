import { LogError } from '../eventlog/errors.js';
import { TooManyWaiting, type Turns } from '../platform/keyed-queue.js';

/**
 * Does the work in its turn under a key.
 * @param what what waits, and for what: `commands wait for 'job-1'`
 * @throws LogError LOG_OVERLOADED when too much waits already
 */
export async function inTurn<R>(turns: Turns, key: string, what: string, work: () => Promise<R>): Promise<R> {
  try {
    return await turns.take(key, work);
  } catch (error) {
    if (!(error instanceof TooManyWaiting)) throw error;
    const waiting = error.waiting.toLocaleString('en');
    throw new LogError('LOG_OVERLOADED', `${waiting} ${what}; try again in a moment.`, error);
  }
}
