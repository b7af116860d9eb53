import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Json } from '../../../domain/json.js';
import type { EventBatch, EventFilter } from '../eventlog.js';
import { matches } from '../filter.js';
import type { SizedEvent } from '../tail.js';
import { positionOf, type EventCodec } from './event-codec.js';
import type { SubscriptionMessage } from './subscription-messages.js';

/** The most of events that one batch holds, in bytes (estimated), unless a single one has more. */
const MAX_BATCH_BYTES = 2 * 1024 * 1024;

/** A piece of what a subscription said. */
export interface Piece extends EventBatch {
  readonly sized: readonly SizedEvent[];
}

/** How a subscription is cut into pieces. */
export interface Cut {
  /** What the subscription was started after. */
  readonly after: bigint;
  /** The end of the log, read before the subscription was made. */
  readonly head: bigint;
  readonly filter: EventFilter | undefined;
  readonly batchSize: number;
  /** Pieces are yielded as they come, instead of full. */
  readonly isLive: boolean;
}

/**
 * Cuts what a subscription says into pieces. A piece never goes further than what has been looked through for certain: a
 * checkpoint may lie where the next event lies, or beyond the end of the log, where an event comes to lie later, and
 * whoever went on after it would never see that event. So a checkpoint counts once something beyond it is said, and none
 * counts beyond the end that was known before.
 */
export async function* subscriptionBatches(
  said: AsyncIterable<SubscriptionMessage[]>,
  codec: EventCodec,
  cut: Cut,
): AsyncIterable<Piece> {
  const { head, filter, batchSize, isLive } = cut;
  let through = cut.after;
  let checkpoint: bigint | undefined;
  let yielded = cut.after;
  let sized: SizedEvent[] = [];
  let bytes = 0;
  const piece = (): Piece => {
    const events = sized.map(({ event }) => event);
    const made = { sized, events, through, live: false };
    sized = [];
    bytes = 0;
    yielded = through;
    return made;
  };
  try {
    for await (const some of said) {
      let isMarked = false;
      for (const one of some) {
        if ('caughtUp' in one) {
          isMarked = true;
          if (head > through) through = head;
          continue;
        }
        const position = 'checkpoint' in one ? one.checkpoint : (positionOf(one.record) ?? 0n);
        if (checkpoint !== undefined && checkpoint > through && position > checkpoint) through = checkpoint;
        checkpoint = undefined;
        if ('checkpoint' in one) {
          if (position <= head) checkpoint = position;
          continue;
        }
        // Some are delivered twice.
        if (position <= through || !codec.isOurs(one.record)) continue;
        const event = codec.toEvent(one.record);
        if (event !== undefined && matches(filter, event)) {
          const size = sizeOf(event.data) + sizeOf(event.metadata) + 400;
          if (sized.length > 0 && bytes + size > MAX_BATCH_BYTES) yield piece();
          sized.push({ event, bytes: size });
          bytes += size;
        }
        through = position;
        if (sized.length >= batchSize) yield piece();
      }
      const isDue = isLive || isMarked || through >= head;
      if (isDue && through > yielded) yield piece();
      else await nextTurn();
    }
  } catch (error) {
    // What came before it was torn is as good as any.
    if (through > yielded) yield piece();
    throw error;
  }
}

/** What a value, a member or an item costs in memory beside its text, in bytes: a rough guess from above. */
const NODE_BYTES = 16;

/** The memory a JSON value takes, in bytes, estimated without writing it out. */
function sizeOf(value: unknown): number {
  return walk(value as Json);
}

function walk(value: Json): number {
  if (typeof value === 'string') return NODE_BYTES + value.length * 2;
  if (typeof value !== 'object' || value === null) return NODE_BYTES;
  let bytes = NODE_BYTES;
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) bytes += walk(item);
    return bytes;
  }
  const members = value as Readonly<Record<string, Json>>;
  // It is JSON, which has no members but its own.
  for (const key in members) bytes += key.length * 2 + walk(members[key] ?? null);
  return bytes;
}
