import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Json } from '../../../domain/json.js';
import type { EventBatch, EventFilter } from '../eventlog.js';
import { matches } from '../filter.js';
import type { SizedEvent } from '../tail.js';
import { positionOf, type EventCodec } from './event-codec.js';
import type { SubscriptionMessage } from './subscription-messages.js';

/** The most bytes (estimated) of events in one batch, unless a single event has more. */
const MAX_BATCH_BYTES = 2 * 1024 * 1024;

/** Consecutive events of a subscription, with their sizes. */
export interface Piece extends EventBatch {
  readonly sized: readonly SizedEvent[];
}

/** How the messages of a subscription are grouped into pieces. */
export interface Cut {
  /** The position after which the subscription starts. */
  readonly after: bigint;
  /** The end of the log, read before the subscription was opened. */
  readonly head: bigint;
  readonly filter: EventFilter | undefined;
  readonly batchSize: number;
  /** Whether to yield events as they arrive, instead of full pieces. */
  readonly isLive: boolean;
}

/**
 * Groups the messages of a subscription into pieces. A piece never extends beyond what has certainly been scanned: a
 * checkpoint may lie at the position of the next event, or beyond the end of the log at the position of a later event, and
 * a reader that resumed after it would never see that event. So a checkpoint counts only once a message beyond it has
 * arrived, and none counts beyond the end that was read before.
 */
export async function* subscriptionBatches(
  messages: AsyncIterable<SubscriptionMessage[]>,
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
    for await (const some of messages) {
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
        // The server may deliver a record twice.
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
    // The events that arrived before the failure are valid.
    if (through > yielded) yield piece();
    throw error;
  }
}

/** The memory of a value, member or item in addition to its text, in bytes: a rough upper estimate. */
const NODE_BYTES = 16;

/** The memory of a JSON value in bytes, estimated without serializing it. */
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
  // A JSON value has own members only, so `for in` is safe.
  for (const key in members) bytes += key.length * 2 + walk(members[key] ?? null);
  return bytes;
}
