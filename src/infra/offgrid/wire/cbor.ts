import { decode, decodeOptions } from '@ipld/dag-cbor';
import { decodeFirst } from 'cborg';

/** A value from its DAG-CBOR; undefined when it is none. */
export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

/** Values that follow one another: a CBOR sequence (RFC 8742). @throws Error where one is cut short or is none */
export function* decodeCborSequence(bytes: Uint8Array): Generator {
  for (let rest = bytes; rest.byteLength > 0;) {
    const [value, remainder] = decodeFirst(rest, decodeOptions) as [unknown, Uint8Array];
    yield value;
    rest = remainder;
  }
}
