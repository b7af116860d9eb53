/**
 * Protocol Buffers encoding, as much of it as the frequent answers need: they are encoded by hand because the generated
 * classes are slow and hide `google.protobuf.Any`. A message is the concatenation of its fields; field numbers are at
 * most 15.
 */

const LENGTH_DELIMITED = 2;
const VARINT = 0;

/** How many bytes `writeVarint` writes. */
function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

/** Writes seven bits of a number per byte, the lowest first; the highest bit of a byte is set if more bytes follow. */
function writeVarint(target: Uint8Array, start: number, value: number): number {
  let [offset, rest] = [start, value];
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[offset++] = (rest % 0x80) | 0x80;
  target[offset] = rest;
  return offset + 1;
}

/** Encodes a number that is too large for number arithmetic. */
function encodeGreat(value: bigint): number[] {
  return value < 0x80n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...encodeGreat(value >> 7n)];
}

/** An unsigned number; it is written even when it is 0, as members of a oneof are. */
export function uint(field: number, value: bigint | number): Buffer {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) return Buffer.from([(field << 3) | VARINT, ...encodeGreat(BigInt(value))]);
  const encoded = Buffer.allocUnsafe(1 + varintLength(number));
  encoded[0] = (field << 3) | VARINT;
  writeVarint(encoded, 1, number);
  return encoded;
}

export function message(field: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const encoded = Buffer.allocUnsafe(1 + varintLength(length) + length);
  encoded[0] = (field << 3) | LENGTH_DELIMITED;
  let offset = writeVarint(encoded, 1, length);
  for (const part of parts) {
    encoded.set(part, offset);
    offset += part.length;
  }
  return encoded;
}

export function bytes(field: number, value: Uint8Array): Buffer {
  return message(field, value);
}

export function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value, 'utf8'));
}

/** An entry of a `map<string, string>`. */
export function entry(field: number, key: string, value: string): Buffer {
  return message(field, text(1, key), text(2, value));
}
