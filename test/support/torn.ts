import { setTimeout as delay } from 'node:timers/promises';
import type { Untyped } from './node.js';
import type { Random } from './random.js';
import { Subscriber } from './subscriber.js';

/** The least and the most a connection lasts, in milliseconds: some are torn before they are there. */
const CONNECTION_MS = [1, 150] as const;
/** By how much longer the next may last than the last, when that showed nothing: on a busy machine none would be there in time. */
const LONGER = 1.2;
/** The longest a follower goes on without seeing anything new, in milliseconds. */
const PATIENCE_MS = 20_000;

/** What a client saw through all of its connections. */
export interface Seen {
  /** The subscription's values, in the order they came. */
  readonly values: Untyped[];
  readonly errors: unknown[];
  readonly connections: number;
}

/**
 * Follows a subscription as a client on a bad line does: its socket is torn at random moments, and it subscribes again
 * after the last position it saw. It ends at the position `end` says, or when nothing comes any more.
 * @param document a subscription of one field that has a `position` and takes `$after`
 * @param end the position of the last value there will be, once that is known
 */
export async function followTorn(
  url: string,
  document: string,
  after: string,
  random: Random,
  end: () => string | undefined,
): Promise<Seen> {
  const values: Untyped[] = [];
  const errors: unknown[] = [];
  let connections = 0;
  let last = after;
  let longestMs: number = CONNECTION_MS[1];
  for (let giveUpAt = performance.now() + PATIENCE_MS; last !== end() && performance.now() < giveUpAt;) {
    const subscriber = new Subscriber(url);
    const feed = subscriber.run(document, { after: last });
    await delay(random.between(CONNECTION_MS[0], Math.round(longestMs)));
    subscriber.terminate();
    const seen = feed.values.flatMap((data) => Object.values<Untyped>(data));
    // It was torn while it connected, perhaps: then this says so.
    await subscriber.dispose().catch(() => undefined);
    connections += 1;
    values.push(...seen);
    errors.push(...feed.errors);
    last = seen.at(-1)?.position ?? last;
    longestMs = seen.length > 0 ? CONNECTION_MS[1] : longestMs * LONGER;
    if (seen.length > 0) giveUpAt = performance.now() + PATIENCE_MS;
  }
  return { values, errors, connections };
}
