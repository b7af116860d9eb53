import { hash, sequence, type Sequence } from './fields.js';
import { integer, byteString, membersOf, nullable, type Field } from './members.js';

/** The lowest and the highest number of an event type. */
const MIN_ETYPE = 10;
const MAX_ETYPE = 65_535;
/** How far the time of an event may be from 1970, in milliseconds: what a JavaScript Date can hold. */
const MAX_EVENT_TIME_MS = 8.64e15;
/** The shortest envelope, in bytes: one of a single block. */
const MIN_SEALED_BYTES = 121;
/** The longest envelope, in bytes: an event of 1 MiB, its names and its padding. */
const MAX_SEALED_BYTES = 1024 * 1024 + 4 * 1024;

/** An event as a batch carries it. */
export interface SealedEvent {
  /** The event's own time in milliseconds since 1970; it may be negative. */
  readonly ts: number;
  readonly etype: number;
  /** The envelope: 121 to 1,052,672 bytes. */
  readonly sealed: Uint8Array;
}

/** An event with its number. */
export interface NumberedEvent extends SealedEvent {
  readonly sequence: Sequence;
}

/** An event whose content nobody has any more: what its entry says of it is left. */
export interface EventHole {
  readonly ts: number;
  readonly etype: number;
  readonly sealed: null;
  /** The address of the content. */
  readonly eid: Uint8Array;
}

/** An event with its number and its address: SHA-256 of the envelope. */
export interface AddressedEvent extends NumberedEvent {
  readonly eid: Uint8Array;
}

/** An event as a core ships it, with its number and its address. */
export type ShippedEvent = AddressedEvent | (EventHole & { readonly sequence: Sequence });

export const etype: Field<number> = integer(MIN_ETYPE, MAX_ETYPE);
export const eventTime: Field<number> = integer(-MAX_EVENT_TIME_MS, MAX_EVENT_TIME_MS);
export const sealed: Field<Uint8Array> = byteString(MIN_SEALED_BYTES, MAX_SEALED_BYTES);

/** An event as it is shipped, or the hole that it has left. */
export const eventOrHole: Field<SealedEvent | EventHole> = (value, where) => {
  const member = membersOf(value, where);
  const [ts, etypeOf, content] = [member('ts', eventTime), member('etype', etype), member('sealed', nullable(sealed))];
  if (content !== null) return { ts, etype: etypeOf, sealed: content };
  return { ts, etype: etypeOf, sealed: content, eid: member('eid', hash) };
};

export const numberedEvent: Field<NumberedEvent> = (value, where) => {
  const member = membersOf(value, where);
  return {
    ts: member('ts', eventTime),
    etype: member('etype', etype),
    sealed: member('sealed', sealed),
    sequence: member('sequence', sequence),
  };
};
