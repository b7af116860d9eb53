import { setTimeout as delay } from 'node:timers/promises';
import type { Untyped } from './node.js';
import type { Random } from './random.js';
import { Subscriber } from './subscriber.js';

/** The shortest and the longest life of a connection, in milliseconds: some are broken before they are established. */
const CONNECTION_MS = [1, 150] as const;
/** The factor by which the limit grows after a connection without values: on a busy machine none would be ready in time. */
const LONGER = 1.2;
/** The longest a follower continues without new values, in milliseconds. */
const PATIENCE_MS = 20_000;

/** What a client received over all of its connections. */
export interface Seen {
  /** The subscription's values, in the order of arrival. */
  readonly values: Untyped[];
  readonly errors: unknown[];
  readonly connections: number;
}

/**
 * Follows a subscription as a client on a bad line does: its socket is broken at random moments, and it subscribes again
 * after the last position that it received. It ends at the position that `end` returns, or when no more values arrive.
 * @param document a subscription of one field that has a `position` and takes `$after`
 * @param end returns the position of the last value that will be sent, once it is known
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
    // This rejects if the socket was broken while it connected.
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
