/**
 * Protocol Buffers encoding, as much of it as the frequent answers need: they are written by hand, for the generated
 * classes are slow and hide `google.protobuf.Any`. A message is the concatenation of its fields.
 */

const LENGTH_DELIMITED = 2;
const VARINT = 0;

function varint(value: bigint | number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** An unsigned number; written even when it is 0, as the members of a oneof are. */
export function uint(field: number, value: bigint | number): Buffer {
  return Buffer.concat([varint((field << 3) | VARINT), varint(value)]);
}

export function bytes(field: number, value: Uint8Array): Buffer {
  return Buffer.concat([varint((field << 3) | LENGTH_DELIMITED), varint(value.length), value]);
}

export function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value, 'utf8'));
}

export function message(field: number, ...fields: readonly Uint8Array[]): Buffer {
  return bytes(field, Buffer.concat(fields));
}

/** An entry of a `map<string, string>`. */
export function entry(field: number, key: string, value: string): Buffer {
  return message(field, text(1, key), text(2, value));
}
