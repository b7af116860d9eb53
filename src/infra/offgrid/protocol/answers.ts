import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { ENTRY_BYTES } from './entry.js';
import { hash, MAX_BODY_BYTES, sequence, type Sequence } from './fields.js';
import { byteString, list, malformed, membersOf, nullable, type Field } from './members.js';
import { decodeStrict } from './strict-cbor.js';

/** The maximum size of an answer to `GET …/roots`, in bytes. */
export const MAX_ROOTS_BYTES = 1024;
/** The maximum size of an answer to `GET …/damaged`, in bytes. */
export const MAX_DAMAGED_BYTES = 64 * 1024;
/** The maximum number of entries in an answer. */
export const MAX_ENTRIES = 32_768;
/** The maximum number of sequences in an answer. */
export const MAX_DAMAGED = 1000;

/** The answer to `GET …/roots?at=n`: the roots over the first n entries of the head and of the staged history. Not signed. */
export interface Roots {
  /** 32 bytes, or null when the history has fewer than n events or does not exist. */
  readonly head: Uint8Array | null;
  readonly staged: Uint8Array | null;
}

/** The answer to `GET …/damaged`: the sequences of events that the host knows to be damaged. */
export interface Damaged {
  /** At most 1,000 sequences. */
  readonly sequences: readonly Sequence[];
}

const root = nullable(hash);
const sequences = list(sequence, MAX_DAMAGED);
const entryList: Field<Uint8Array> = (value, where) => {
  const bytes = byteString(0, MAX_ENTRIES * ENTRY_BYTES)(value, where);
  if (bytes.byteLength % ENTRY_BYTES !== 0) throw malformed(bytes, where, `a multiple of ${ENTRY_BYTES} bytes`);
  return bytes;
};

/** The bytes of an answer to `GET …/roots`. */
export function encodeRoots({ head, staged }: Roots): Uint8Array {
  return encode({ head, staged });
}

/** The roots from the body of an answer. @throws ProtocolError TOO_LARGE above 1 KiB, or MALFORMED */
export function decodeRoots(body: Uint8Array): Roots {
  checkBodySize(body, MAX_ROOTS_BYTES);
  const member = membersOf(decodeStrict(body, 'the answer'), 'answer');
  return { head: member('head', root), staged: member('staged', root) };
}

/** The bytes of an answer to `GET …/entries`: `{ entries }`, with 42 bytes for each entry. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return encode({ entries: Buffer.concat(entries) });
}

/**
 * The 42 bytes of each entry in an answer; entries are not decoded.
 * @throws ProtocolError TOO_LARGE above 8 MiB; MALFORMED, also above 32,768 entries
 */
export function decodeEntries(body: Uint8Array): readonly Uint8Array[] {
  checkBodySize(body, MAX_BODY_BYTES);
  const bytes = membersOf(decodeStrict(body, 'the answer'), 'answer')('entries', entryList);
  return Array.from({ length: bytes.byteLength / ENTRY_BYTES }, (_, index) =>
    bytes.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES),
  );
}

/** The bytes of an answer to `GET …/damaged`. */
export function encodeDamaged({ sequences }: Damaged): Uint8Array {
  return encode({ sequences });
}

/** The damaged sequences of an answer. @throws ProtocolError TOO_LARGE above 64 KiB; MALFORMED, also above 1,000 sequences */
export function decodeDamaged(body: Uint8Array): Damaged {
  checkBodySize(body, MAX_DAMAGED_BYTES);
  return { sequences: membersOf(decodeStrict(body, 'the answer'), 'answer')('sequences', sequences) };
}
