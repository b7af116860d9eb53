import { HASH_BYTES } from '../../../domain/merkle.js';
import { byteString, integer, text, type Field } from './members.js';

declare const brand: unique symbol;

/** The name of a core: 1 to 64 characters. */
export type Origin = string & { readonly [brand]?: 'origin' };
/** What a host is called by: 32 hexadecimal digits, the first half of SHA-256 of its verify key. */
export type Fingerprint = string & { readonly [brand]?: 'fingerprint' };
/** One process of a core: `<log id>:<random>`. */
export type Writer = string & { readonly [brand]?: 'writer' };
/** The number of a claim: 1 to 2⁴⁸. */
export type Epoch = number & { readonly [brand]?: 'epoch' };
/** One plus the number of losses accepted: 1 to 2³¹ − 1. */
export type Line = number & { readonly [brand]?: 'line' };
/** The number of an event, from 1, or how many events there are, from 0: at most 2⁵³ − 2. */
export type Sequence = number & { readonly [brand]?: 'sequence' };

export const MAX_EPOCH = 2 ** 48;
export const MAX_LINE = 2 ** 31 - 1;
export const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER - 1;
/** The `base` of a tree whose epoch has not been elected: above every sequence, so that no such tree is complete. */
export const NOT_ELECTED = Number.MAX_SAFE_INTEGER;

/** The most bytes of a body or an answer that has no limit of its own. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** The most bytes of a head or a refusal as an answer, and of the body of a claim. */
export const MAX_SHORT_BODY_BYTES = 16 * 1024;

/** What a host is called by. */
export const FINGERPRINT = /^[0-9a-f]{32}$/;
/** The name of an origin. */
export const ORIGIN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const origin: Field<Origin> = text(
  ORIGIN,
  'a letter or digit and up to 63 letters, digits, dots, underscores and hyphens',
);
export const fingerprint: Field<Fingerprint> = text(FINGERPRINT, '32 digits of 0-9a-f');
export const writer: Field<Writer> = text(
  /^[A-Za-z0-9]{1,32}:[A-Za-z0-9_-]{8,64}$/,
  '1 to 32 letters and digits, a colon, and 8 to 64 letters, digits, underscores and hyphens',
);
export const epoch: Field<Epoch> = integer(1, MAX_EPOCH);
export const line: Field<Line> = integer(1, MAX_LINE);
/** The number of an event. */
export const sequence: Field<Sequence> = integer(1, MAX_SEQUENCE);
/** How many events, none included. */
export const eventCount: Field<Sequence> = integer(0, MAX_SEQUENCE);
/** How many events an epoch was elected on, or NOT_ELECTED. */
export const base: Field<Sequence> = integer(0, NOT_ELECTED);
/** The time of a tree or a head in milliseconds since 1970; advisory. */
export const clockTime: Field<number> = integer(0, Number.MAX_SAFE_INTEGER);
/** A root, an eid or another SHA-256. */
export const hash: Field<Uint8Array> = byteString(HASH_BYTES);
