import { CborWriter } from '../../crypto/cbor-writer.js';
import { checkBodySize } from './body-size.js';
import { etype, eventTime, sealed, type NumberedEvent } from './event.js';
import { MAX_BODY_BYTES, sequence } from './fields.js';
import { malformed, membersOf, nullable } from './members.js';
import { decodeStrictSequence } from './strict-cbor.js';

/** The maximum number of events in an answer. */
export const MAX_ANSWER_EVENTS = 1000;

/** An event as a host returns it. */
export interface StoredEvent extends Omit<NumberedEvent, 'sealed'> {
  /** The envelope, or null when it is damaged or missing at this host. */
  readonly sealed: Uint8Array | null;
}

/** Buffer space for the parts of an event other than its envelope, in bytes. */
const EVENT_BYTES = 64;

const content = nullable(sealed);

/** The bytes of one event in the answer to `GET …/events`. The answer is a CBOR sequence (RFC 8742) of events. */
export function encodeStoredEvent({ ts, etype, sealed, sequence }: StoredEvent): Uint8Array {
  const writer = new CborWriter(EVENT_BYTES + (sealed?.byteLength ?? 0));
  writer.map(4).text('ts').integer(ts).text('etype').integer(etype).text('sealed').bytes(sealed);
  return writer.text('sequence').integer(sequence).written();
}

/** The events in the body of an answer. @throws ProtocolError TOO_LARGE above 8 MiB; MALFORMED, also above 1,000 events */
export function decodeStoredEvents(body: Uint8Array): readonly StoredEvent[] {
  checkBodySize(body, MAX_BODY_BYTES);
  const values = decodeStrictSequence(body, 'the answer', MAX_ANSWER_EVENTS + 1);
  if (values.length > MAX_ANSWER_EVENTS)
    throw malformed(values, 'the answer', `a sequence of at most ${MAX_ANSWER_EVENTS} events`);
  return values.map((value, index) => {
    const member = membersOf(value, `events[${index}]`);
    return {
      ts: member('ts', eventTime),
      etype: member('etype', etype),
      sealed: member('sealed', content),
      sequence: member('sequence', sequence),
    };
  });
}
