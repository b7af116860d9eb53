import { decode, decodeOptions, encode } from '@ipld/dag-cbor';
import { decodeFirst } from 'cborg';

/** The first byte of a map of fewer than 24 members, but for how many (RFC 8949, 3). */
const MAP = 0xa0;
const MAX_MEMBERS = 23;

/** A value from its DAG-CBOR; undefined when it is none. */
export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

/** A map, some of whose members are encoded already. @throws RangeError when there are more than 23 */
export function encodeMap(
  members: Readonly<Record<string, unknown>>,
  encoded: Readonly<Record<string, Uint8Array>>,
): Uint8Array {
  const given = [
    ...Object.entries(members).map(([name, value]) => [name, encode(value)] as const),
    ...Object.entries(encoded),
  ];
  if (given.length > MAX_MEMBERS) throw new RangeError(`a map of ${given.length} members needs a longer head`);
  // The shorter name first, then by its bytes: that is how names compare once they are encoded.
  const sorted = given.map(([name, value]) => [encode(name), value] as const).sort(([a], [b]) => Buffer.compare(a, b));
  return Buffer.concat([Uint8Array.of(MAP | sorted.length), ...sorted.flat()]);
}

/** Values that follow one another: a CBOR sequence (RFC 8742). @throws Error where one is cut short or is none */
export function* decodeCborSequence(bytes: Uint8Array): Generator {
  for (let rest = bytes; rest.byteLength > 0;) {
    const [value, remainder] = decodeFirst(rest, decodeOptions) as [unknown, Uint8Array];
    yield value;
    rest = remainder;
  }
}
