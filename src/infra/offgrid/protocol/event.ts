import { hash, sequence, type Sequence } from './fields.js';
import { integer, byteString, membersOf, nullable, type Field } from './members.js';

/** The lowest and the highest etype. */
const MIN_ETYPE = 10;
const MAX_ETYPE = 65_535;
/** The maximum distance of an event's time from 1970, in milliseconds: the range of a JavaScript Date. */
const MAX_EVENT_TIME_MS = 8.64e15;
/** The size of the smallest envelope, which has one block, in bytes. */
const MIN_SEALED_BYTES = 121;
/** The size of the largest envelope in bytes: an event of 1 MiB, its names and its padding. */
const MAX_SEALED_BYTES = 1024 * 1024 + 4 * 1024;

/** An event as it appears in a batch. */
export interface SealedEvent {
  /** The event's own time in milliseconds since 1970; it may be negative. */
  readonly ts: number;
  readonly etype: number;
  /** The envelope: 121 to 1,052,672 bytes. */
  readonly sealed: Uint8Array;
}

/** An event with its sequence. */
export interface NumberedEvent extends SealedEvent {
  readonly sequence: Sequence;
}

/** An event whose content no one has any more. Only the members of its entry remain. */
export interface EventHole {
  readonly ts: number;
  readonly etype: number;
  readonly sealed: null;
  /** The address of the content. */
  readonly eid: Uint8Array;
}

/** An event with its sequence and its address, which is SHA-256 of the envelope. */
export interface AddressedEvent extends NumberedEvent {
  readonly eid: Uint8Array;
}

/** An event or a hole as a core ships it, with its sequence and its address. */
export type ShippedEvent = AddressedEvent | (EventHole & { readonly sequence: Sequence });

/** The number of an event's type: 10 to 65,535. */
export const etype: Field<number> = integer(MIN_ETYPE, MAX_ETYPE);
/** The time of an event in milliseconds since 1970, ± 8.64 · 10¹⁵. */
export const eventTime: Field<number> = integer(-MAX_EVENT_TIME_MS, MAX_EVENT_TIME_MS);
/** An envelope: 121 to 1,052,672 bytes. */
export const sealed: Field<Uint8Array> = byteString(MIN_SEALED_BYTES, MAX_SEALED_BYTES);

/** An event of a batch, or a hole in its place. */
export const eventOrHole: Field<SealedEvent | EventHole> = (value, where) => {
  const member = membersOf(value, where);
  const [ts, etypeOf, content] = [member('ts', eventTime), member('etype', etype), member('sealed', nullable(sealed))];
  if (content !== null) return { ts, etype: etypeOf, sealed: content };
  return { ts, etype: etypeOf, sealed: content, eid: member('eid', hash) };
};

/** An event of a mend. */
export const numberedEvent: Field<NumberedEvent> = (value, where) => {
  const member = membersOf(value, where);
  return {
    ts: member('ts', eventTime),
    etype: member('etype', etype),
    sealed: member('sealed', sealed),
    sequence: member('sequence', sequence),
  };
};
