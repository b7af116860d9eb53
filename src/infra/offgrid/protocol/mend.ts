import { encode } from '@ipld/dag-cbor';
import { MAX_BATCH_EVENTS } from './batch.js';
import { checkBodySize } from './body-size.js';
import { numberedEvent, type NumberedEvent } from './event.js';
import { MAX_BODY_BYTES, MAX_SHORT_BODY_BYTES } from './fields.js';
import { integer, list, malformed, membersOf } from './members.js';
import { decodeStrict } from './strict-cbor.js';

/**
 * The body of `POST /replica/:origin/mend`: events that are damaged at the host. A host takes an event only if the leaf
 * hash of its entry is the one kept for its sequence, so a mend is not signed.
 */
export interface Mend {
  /** At most 500 events. */
  readonly events: readonly NumberedEvent[];
}

/** The answer to a mend. */
export interface MendAnswer {
  /** The number of events in the mend that are intact now: 0 to 500. */
  readonly mended: number;
}

const events = list(numberedEvent, MAX_BATCH_EVENTS);
const mended = integer(0, MAX_BATCH_EVENTS);

/** The bytes of a mend. @throws ProtocolError MALFORMED for more than 500 events, TOO_LARGE above 8 MiB */
export function encodeMend({ events }: Mend): Uint8Array {
  if (events.length > MAX_BATCH_EVENTS)
    throw malformed(events, 'body.events', `an array of at most ${MAX_BATCH_EVENTS} values`);
  const body = encode({ events: events.map(({ ts, etype, sealed, sequence }) => ({ ts, etype, sealed, sequence })) });
  checkBodySize(body, MAX_BODY_BYTES);
  return body;
}

/** A mend from a received body. @throws ProtocolError TOO_LARGE above 8 MiB, or MALFORMED */
export function decodeMend(body: Uint8Array): Mend {
  checkBodySize(body, MAX_BODY_BYTES);
  return { events: membersOf(decodeStrict(body, 'the body'), 'body')('events', events) };
}

/** The bytes of an answer to a mend. */
export function encodeMendAnswer({ mended }: MendAnswer): Uint8Array {
  return encode({ mended });
}

/** An answer to a mend from its body. @throws ProtocolError TOO_LARGE above 16 KiB, or MALFORMED */
export function decodeMendAnswer(body: Uint8Array): MendAnswer {
  checkBodySize(body, MAX_SHORT_BODY_BYTES);
  return { mended: membersOf(decodeStrict(body, 'the answer'), 'answer')('mended', mended) };
}
