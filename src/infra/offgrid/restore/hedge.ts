import type { Time } from '../../platform/clock.js';
import { firstOf, LinkedSignal } from '../../platform/linked-signal.js';
import { Nudge } from '../../platform/nudge.js';

/** How often it is looked whether something is late, in milliseconds. */
export const LOOK_MS = 250;

/** Something that one host is asked for, and another may be as well. */
export interface Attempt<T> {
  /** Resolves undefined when nothing comes of it, or the signal comes. */
  run(signal: AbortSignal): Promise<T | undefined>;
  /** Whether what is waited for takes so many times as long as it is waited for alone. */
  isLate(times: number): boolean;
}

interface Running<T> {
  readonly attempt: Attempt<T>;
  readonly giveUp: LinkedSignal;
  readonly done: Promise<void>;
}

/**
 * What the first attempt gives that gives something. They are made in order, the next one when the one before has come to nothing
 * or is late: then two are under way, and when both take twice as long the older is given up for a third.
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
