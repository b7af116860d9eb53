import { HASH_BYTES } from '../../../domain/merkle.js';
import { byteString, integer, text, type Field } from './members.js';

declare const brand: unique symbol;

/** The name of a core: 1 to 64 characters. */
export type Origin = string & { readonly [brand]?: 'origin' };
/** The identifier of a host: 32 hexadecimal digits, the first half of SHA-256 of its verify key. */
export type Fingerprint = string & { readonly [brand]?: 'fingerprint' };
/** The name of one process of a core: `<log id>:<random>`. */
export type Writer = string & { readonly [brand]?: 'writer' };
/** The number of a claim: 1 to 2⁴⁸. */
export type Epoch = number & { readonly [brand]?: 'epoch' };
/** The number of a line: one plus the number of accepted losses, 1 to 2³¹ − 1. */
export type Line = number & { readonly [brand]?: 'line' };
/** The number of an event, from 1, or a number of events, from 0: at most 2⁵³ − 2. */
export type Sequence = number & { readonly [brand]?: 'sequence' };

/** The highest epoch. */
export const MAX_EPOCH = 2 ** 48;
/** The highest line. */
export const MAX_LINE = 2 ** 31 - 1;
/** The highest sequence. */
export const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER - 1;
/** The `base` of a tree whose epoch has not been elected. It is above every sequence, so no such tree is complete. */
export const NOT_ELECTED = Number.MAX_SAFE_INTEGER;

/** The maximum size of a body or an answer that has no limit of its own, in bytes. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** The maximum size of an answer that is a head or a refusal, and of the body of a claim, in bytes. */
export const MAX_SHORT_BODY_BYTES = 16 * 1024;

/** The form of a fingerprint. */
export const FINGERPRINT = /^[0-9a-f]{32}$/;
/** The form of an origin's name. */
export const ORIGIN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The name of an origin. */
export const origin: Field<Origin> = text(
  ORIGIN,
  'a letter or digit and up to 63 letters, digits, dots, underscores and hyphens',
);
/** The fingerprint of a host. */
export const fingerprint: Field<Fingerprint> = text(FINGERPRINT, '32 digits of 0-9a-f');
/** The name of a writer. */
export const writer: Field<Writer> = text(
  /^[A-Za-z0-9]{1,32}:[A-Za-z0-9_-]{8,64}$/,
  '1 to 32 letters and digits, a colon, and 8 to 64 letters, digits, underscores and hyphens',
);
/** An epoch: 1 to 2⁴⁸. */
export const epoch: Field<Epoch> = integer(1, MAX_EPOCH);
/** A line: 1 to 2³¹ − 1. */
export const line: Field<Line> = integer(1, MAX_LINE);
/** The number of an event: 1 to 2⁵³ − 2. */
export const sequence: Field<Sequence> = integer(1, MAX_SEQUENCE);
/** A number of events: 0 to 2⁵³ − 2. */
export const eventCount: Field<Sequence> = integer(0, MAX_SEQUENCE);
/** The number of events that an epoch was elected on, or NOT_ELECTED. */
export const base: Field<Sequence> = integer(0, NOT_ELECTED);
/** The time of a tree or a head in milliseconds since 1970; advisory. */
export const clockTime: Field<number> = integer(0, Number.MAX_SAFE_INTEGER);
/** A root, an eid or another SHA-256. */
export const hash: Field<Uint8Array> = byteString(HASH_BYTES);
