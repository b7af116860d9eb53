import fc from 'fast-check';
import { dataKey, KEY_BYTES } from '../../../src/infra/crypto/data-key.js';
import type { EnvelopePlace } from '../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';

const keyBytes = fc.uint8Array({ minLength: KEY_BYTES, maxLength: KEY_BYTES });

export const anyDataKey = keyBytes.map(dataKey);
export const anyRootKey = keyBytes.map((bytes) => new RootKey(bytes));

export const anyPlace: fc.Arbitrary<EnvelopePlace> = fc.record({
  origin: fc.string({ unit: 'grapheme' }),
  sequence: fc.maxSafeNat().map((n) => Math.max(n, 1)),
  etype: fc.integer({ min: 10, max: 30 }),
  at: fc.maxSafeInteger(),
});

/** Any text that UTF-8 can encode: of every code point, and of lengths around those where the padding grows. */
export const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.nat(260).map((length) => 'x'.repeat(length)),
);

/** The bytes with one bit flipped. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const index = Math.floor(bit / 8);
  return Uint8Array.from(bytes, (byte, i) => (i === index ? byte ^ (1 << (bit % 8)) : byte));
}

/** The error that is thrown; the test fails when none is. */
export function thrownBy(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was refused');
}

/** Everything that an error shows when it is logged. */
export function errorText(error: Error): string {
  return JSON.stringify([error.message, error.stack, error.cause, error, Object.entries(error)]);
}

/** The forms in which a key may be written. */
export function spellings(bytes: Uint8Array): readonly string[] {
  const buffer = Buffer.from(bytes);
  return [buffer.toString('hex'), buffer.toString('base64'), buffer.toString('base64url'), bytes.join(',')];
}
