import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { eventOrHole, type EventHole, type SealedEvent } from './event.js';
import { MAX_BODY_BYTES, sequence, type Sequence } from './fields.js';
import { list, malformed, membersOf } from './members.js';
import { pairOf, signedThing, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';

/** The most events of a batch, and of a mend. */
export const MAX_BATCH_EVENTS = 500;
/** The most bytes of envelopes that a core puts into a batch, unless a single event has more. */
export const MAX_BATCH_BYTES = 1024 * 1024;

/**
 * The body of `POST /replica/:origin/events`: events from, from + 1, … and the tree that they lead to. It names no host,
 * so the same bytes serve every host. A batch of no events renews the tree. The answer is a head.
 */
export interface Batch {
  /** The number of the first event, from 1; of a batch of none, the number of the next. */
  readonly from: Sequence;
  readonly tree: SignedThing<'tree'>;
  /** 0 to 500. */
  readonly events: readonly (SealedEvent | EventHole)[];
}

const events = list(eventOrHole, MAX_BATCH_EVENTS);

/**
 * The bytes of a batch. Its events are not checked: a host refuses those that are out of range.
 * @throws ProtocolError MALFORMED for more than 500 events, TOO_LARGE above 8 MiB
 */
export function encodeBatch({ from, tree, events }: Batch): Uint8Array {
  if (events.length > MAX_BATCH_EVENTS)
    throw malformed(events, 'body.events', `an array of at most ${MAX_BATCH_EVENTS} values`);
  const body = encode({
    from,
    tree: pairOf(tree),
    events: events.map((event) => {
      const { ts, etype, sealed } = event;
      return sealed === null ? { ts, etype, sealed, eid: event.eid } : { ts, etype, sealed };
    }),
  });
  checkBodySize(body, MAX_BODY_BYTES);
  return body;
}

/** A body that came in; the tree is not verified. @throws ProtocolError TOO_LARGE above 8 MiB, or MALFORMED */
export function decodeBatch(body: Uint8Array): Batch {
  checkBodySize(body, MAX_BODY_BYTES);
  const member = membersOf(decodeStrict(body, 'the body'), 'body');
  return {
    from: member('from', sequence),
    tree: member('tree', signedThing('tree')),
    events: member('events', events),
  };
}
