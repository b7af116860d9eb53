import { HASH_BYTES } from '../../../domain/merkle.js';
import { CborWriter } from '../../crypto/cbor-writer.js';
import { checkBodySize } from './body-size.js';
import { eventOrHole, type EventHole, type SealedEvent } from './event.js';
import { MAX_BODY_BYTES, sequence, type Sequence } from './fields.js';
import { list, malformed, membersOf } from './members.js';
import { pairOf, signedThing, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';

/** The maximum number of events in a batch, and in a mend. */
export const MAX_BATCH_EVENTS = 500;
/** The maximum size of the envelopes that a core puts into a batch, in bytes; a single larger event is sent alone. */
export const MAX_BATCH_BYTES = 1024 * 1024;

/**
 * The body of `POST /replica/:origin/events`: events from, from + 1, … and the tree that results from them. It names no
 * host, so the same bytes serve every host. A batch without events renews the tree. The answer is a head.
 */
export interface Batch {
  /** The sequence of the first event, from 1; in a batch without events, the sequence of the next event. */
  readonly from: Sequence;
  readonly tree: SignedThing<'tree'>;
  /** 0 to 500 events. */
  readonly events: readonly (SealedEvent | EventHole)[];
}

/** Buffer space for the parts of a batch other than its events, and of an event other than its envelope, in bytes. */
const MAX_TREE_BYTES = 2_048;
const EVENT_BYTES = 64;

const events = list(eventOrHole, MAX_BATCH_EVENTS);

/**
 * The bytes of a batch. Its events are not checked: a host refuses events that are out of range.
 * @throws ProtocolError MALFORMED for more than 500 events, TOO_LARGE above 8 MiB
 */
export function encodeBatch({ from, tree, events }: Batch): Uint8Array {
  if (events.length > MAX_BATCH_EVENTS)
    throw malformed(events, 'body.events', `an array of at most ${MAX_BATCH_EVENTS} values`);
  const sealedBytes = events.reduce((sum, { sealed }) => sum + (sealed?.byteLength ?? HASH_BYTES), 0);
  const writer = new CborWriter(MAX_TREE_BYTES + sealedBytes + events.length * EVENT_BYTES);
  const [content, signature] = pairOf(tree);
  writer.map(3).text('from').integer(from).text('tree').array(2).bytes(content).bytes(signature);
  writer.text('events').array(events.length);
  for (const event of events) writeEvent(event, writer);
  const body = writer.written();
  checkBodySize(body, MAX_BODY_BYTES);
  return body;
}

function writeEvent(event: SealedEvent | EventHole, writer: CborWriter): void {
  const { ts, etype, sealed } = event;
  writer
    .map(sealed === null ? 4 : 3)
    .text('ts')
    .integer(ts);
  if (sealed === null) writer.text('eid').bytes(event.eid);
  writer.text('etype').integer(etype).text('sealed').bytes(sealed);
}

/** A batch from a received body; the tree is not verified. @throws ProtocolError TOO_LARGE above 8 MiB, or MALFORMED */
export function decodeBatch(body: Uint8Array): Batch {
  checkBodySize(body, MAX_BODY_BYTES);
  const member = membersOf(decodeStrict(body, 'the body'), 'body');
  return {
    from: member('from', sequence),
    tree: member('tree', signedThing('tree')),
    events: member('events', events),
  };
}
