import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { ENTRY_BYTES } from './entry.js';
import { hash, MAX_BODY_BYTES, sequence, type Sequence } from './fields.js';
import { byteString, list, malformed, membersOf, nullable, type Field } from './members.js';
import { decodeStrict } from './strict-cbor.js';

/** The most bytes of an answer to `GET …/roots`. */
export const MAX_ROOTS_BYTES = 1024;
/** The most bytes of an answer to `GET …/damaged`. */
export const MAX_DAMAGED_BYTES = 64 * 1024;
/** The most entries of an answer. */
export const MAX_ENTRIES = 32_768;
/** The most sequences of an answer. */
export const MAX_DAMAGED = 1000;

/** The answer to `GET …/roots?at=n`: the root over the first n entries of the head and of what is staged. It is not signed. */
export interface Roots {
  /** 32 bytes, or null: the history has fewer than n events, or there is none. */
  readonly head: Uint8Array | null;
  readonly staged: Uint8Array | null;
}

/** The answer to `GET …/damaged`: the numbers of events that the host knows to be damaged. */
export interface Damaged {
  /** At most 1,000. */
  readonly sequences: readonly Sequence[];
}

const root = nullable(hash);
const sequences = list(sequence, MAX_DAMAGED);
const entryList: Field<Uint8Array> = (value, where) => {
  const bytes = byteString(0, MAX_ENTRIES * ENTRY_BYTES)(value, where);
  if (bytes.byteLength % ENTRY_BYTES !== 0) throw malformed(bytes, where, `a multiple of ${ENTRY_BYTES} bytes`);
  return bytes;
};

export function encodeRoots({ head, staged }: Roots): Uint8Array {
  return encode({ head, staged });
}

/** @throws ProtocolError TOO_LARGE above 1 KiB, or MALFORMED */
export function decodeRoots(body: Uint8Array): Roots {
  checkBodySize(body, MAX_ROOTS_BYTES);
  const member = membersOf(decodeStrict(body, 'the answer'), 'answer');
  return { head: member('head', root), staged: member('staged', root) };
}

/** The answer to `GET …/entries`: `{ entries }`, 42 bytes for each. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return encode({ entries: Buffer.concat(entries) });
}

/** The 42 bytes of each entry, not decoded. @throws ProtocolError TOO_LARGE above 8 MiB, or MALFORMED above 32,768 entries */
export function decodeEntries(body: Uint8Array): readonly Uint8Array[] {
  checkBodySize(body, MAX_BODY_BYTES);
  const bytes = membersOf(decodeStrict(body, 'the answer'), 'answer')('entries', entryList);
  return Array.from({ length: bytes.byteLength / ENTRY_BYTES }, (_, index) =>
    bytes.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES),
  );
}

export function encodeDamaged({ sequences }: Damaged): Uint8Array {
  return encode({ sequences });
}

/** @throws ProtocolError TOO_LARGE above 64 KiB, or MALFORMED above 1,000 sequences */
export function decodeDamaged(body: Uint8Array): Damaged {
  checkBodySize(body, MAX_DAMAGED_BYTES);
  return { sequences: membersOf(decodeStrict(body, 'the answer'), 'answer')('sequences', sequences) };
}
