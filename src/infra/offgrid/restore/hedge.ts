import type { Time } from '../../platform/clock.js';
import { firstOf, LinkedSignal } from '../../platform/linked-signal.js';
import { Nudge } from '../../platform/nudge.js';

/** How often it is checked whether something is late, in milliseconds. */
export const LOOK_MS = 250;

/** A request to one host for something that another host may give as well. */
export interface Attempt<T> {
  /** Resolves undefined when it gives nothing, or the signal aborts. */
  run(signal: AbortSignal): Promise<T | undefined>;
  /** Whether the wait exceeds `times` the time that a single attempt may take. */
  isLate(times: number): boolean;
}

interface Running<T> {
  readonly attempt: Attempt<T>;
  readonly giveUp: LinkedSignal;
  readonly done: Promise<void>;
}

/**
 * Resolves the result of the first attempt that gives one. Attempts begin in order, the next when the one before has
 * given nothing or is late: then two run, and when both take twice as long, the older is aborted for a third.
 * @throws what an attempt throws
 */
export async function hedged<T>(attempts: Iterable<Attempt<T>>, time: Pick<Time, 'sleep'>): Promise<T | undefined> {
  const left = [...attempts];
  const running = new Set<Running<T>>();
  const [ending, changed] = [new AbortController(), new Nudge()];
  const found: T[] = [];
  const failures: unknown[] = [];
  const begin = (attempt: Attempt<T>) => {
    const giveUp = new LinkedSignal(ending.signal);
    const given = attempt.run(giveUp.signal).then(
      (value) => {
        if (value !== undefined) found.push(value);
      },
      (error: unknown) => {
        failures.push(error);
      },
    );
    const one: Running<T> = {
      ...{ attempt, giveUp },
      done: given.then(() => {
        giveUp.unlink();
        running.delete(one);
        changed.notify();
      }),
    };
    running.add(one);
  };
  try {
    while (found.length === 0 && failures.length === 0) {
      const [oldest] = running;
      const areLate = [...running].every(({ attempt }) => attempt.isLate(running.size));
      const [next] = left;
      if (oldest === undefined && next === undefined) return undefined;
      if (next !== undefined && areLate && running.size <= 2) {
        left.shift();
        if (running.size === 2) oldest?.giveUp.end();
        begin(next);
      }
      await firstOf(ending.signal, (waiting) => [changed.wait(waiting), time.sleep(LOOK_MS, waiting)]);
    }
    if (failures.length > 0) throw failures[0];
    return found[0];
  } finally {
    ending.abort();
    await Promise.all([...running].map(({ done }) => done));
  }
}
