import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventBatch, EventFilter } from '../eventlog.js';
import { matches } from '../filter.js';
import type { SizedEvent } from '../tail.js';
import type { Records } from './records.js';
import type { Said } from './said.js';
import { sizeOf } from './size.js';

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
 * Cuts what a subscription says into pieces. How far a piece goes is a position where an event of ours is, or one before
 * it: a checkpoint may lie beyond the end of the log, where an event comes to lie later, and whoever went on after it
 * would never see that event. So none is taken beyond the end that was known before.
 */
export async function* pieces(said: AsyncIterable<Said[]>, records: Records, cut: Cut): AsyncIterable<Piece> {
  const { head, filter, batchSize, isLive } = cut;
  let through = cut.after;
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
        if ('caughtUp' in one || 'checkpoint' in one) {
          const reached = 'caughtUp' in one || one.checkpoint > head ? head : one.checkpoint;
          if (reached > through) through = reached;
          isMarked ||= 'caughtUp' in one;
          continue;
        }
        // Some are delivered twice.
        const position = one.record.position?.commit ?? 0n;
        if (position <= through || !records.isOurs(one.record)) continue;
        const event = records.toEvent(one.record);
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
