import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import type { Claim } from '../../../src/infra/offgrid/protocol/claim.js';
import type { SealedEvent } from '../../../src/infra/offgrid/protocol/event.js';
import { MAX_EPOCH, MAX_LINE, MAX_SEQUENCE, NOT_ELECTED } from '../../../src/infra/offgrid/protocol/fields.js';
import { ProtocolError } from '../../../src/infra/offgrid/protocol/protocol-error.js';
import type { SignedKind, SignedThing } from '../../../src/infra/offgrid/protocol/signed.js';
import type { Tree } from '../../../src/infra/offgrid/protocol/tree.js';
import { verifyKeyOf } from '../../../src/infra/offgrid/protocol/verify-key.js';

/** A key pair, and its public key in the form in which it is pinned. */
export function newKeys() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey, verifyKey: verifyKeyOf(publicKey) };
}

/** Signs any content as a signed thing of a kind, even if readers do not accept it. */
export function signContent<Kind extends SignedKind>(
  kind: Kind,
  content: Uint8Array,
  key: KeyObject,
): SignedThing<Kind> {
  const signature = sign(null, Buffer.concat([Buffer.from(`sheratan/2 ${kind}\n`), content]), key);
  return { kind, content, signature };
}

/** Signs any map as a signed thing of a kind, even if readers do not accept it. */
export function signMap<Kind extends SignedKind>(kind: Kind, map: object, key: KeyObject): SignedThing<Kind> {
  return signContent(kind, encode(map), key);
}

/** The code of the refusal, or the result of a call that is not refused. */
export function codeOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

/** The message of the refusal. */
export function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ProtocolError) return error.message;
    throw error;
  }
  return 'accepted';
}

/** A copy of bytes with one bit changed. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  const bit = at % (changed.byteLength * 8);
  changed[bit >> 3] = changed[bit >> 3]! ^ (1 << (bit & 7));
  return changed;
}

/** For each member, values just inside its limits and just outside them. */
export type Limits = Readonly<
  Record<string, { readonly inside: readonly unknown[]; readonly outside: readonly unknown[] }>
>;

const NO_NUMBERS = ['1', null, true, 1n << 60n, [], {}, new Uint8Array(1)];
const NO_TEXTS = [1, null, [], {}, new Uint8Array(1)];
const counts = (min: number, max: number) => ({
  inside: [min, min + 1, max - 1, max],
  // Above 2⁵³ − 1 only a bigint is encoded as an integer.
  outside: [min - 1, -1, BigInt(max) + 1n, 2n ** 53n + 2n, ...NO_NUMBERS],
});

export const hashLimits = {
  inside: [new Uint8Array(32), Buffer.alloc(32, 255)],
  outside: [new Uint8Array(0), new Uint8Array(31), new Uint8Array(33), '0'.repeat(32), 1, null, []],
};
export const originLimits = {
  inside: ['a', '0', 'Z.z_9-', 'a'.repeat(64)],
  outside: ['', '.a', '-a', '_a', 'a/b', 'a b', 'a\n', 'ä', '\uFEFFa', 'a'.repeat(65), ...NO_TEXTS],
};
export const fingerprintLimits = {
  inside: ['0123456789abcdef'.repeat(2)],
  outside: ['0'.repeat(31), '0'.repeat(33), 'A'.repeat(32), 'g'.repeat(32), `${'0'.repeat(32)}\n`, ...NO_TEXTS],
};
const writerLimits = {
  inside: ['a:12345678', `${'A0'.repeat(16)}:${'_-aZ'.repeat(16)}`],
  outside: [
    ...[':12345678', 'a:1234567', 'a12345678', 'a-b:12345678', 'a:1234567.', 'a:12345678\n'],
    ...[`${'a'.repeat(33)}:12345678`, `a:${'b'.repeat(65)}`, ...NO_TEXTS],
  ],
};
export const clockLimits = counts(0, Number.MAX_SAFE_INTEGER);
export const countLimits = counts(0, MAX_SEQUENCE);
export const sequenceLimits = counts(1, MAX_SEQUENCE);

export const claimLimits: Limits = {
  host: fingerprintLimits,
  epoch: counts(1, MAX_EPOCH),
  origin: originLimits,
  writer: writerLimits,
};

export const treeLimits: Limits = {
  ts: clockLimits,
  base: counts(0, NOT_ELECTED),
  line: counts(1, MAX_LINE),
  root: hashLimits,
  begun: hashLimits,
  epoch: counts(1, MAX_EPOCH),
  origin: originLimits,
  quorum: countLimits,
  writer: writerLimits,
  sequence: sequenceLimits,
  quorumRoot: hashLimits,
};

export const eventLimits: Limits = {
  ts: {
    inside: [-8.64e15, -1, 0, 8.64e15],
    outside: [-8.64e15 - 1, 8.64e15 + 1, ...NO_NUMBERS],
  },
  etype: counts(10, 65_535),
  sealed: {
    inside: [new Uint8Array(121), new Uint8Array(1_052_672)],
    outside: [new Uint8Array(0), new Uint8Array(120), new Uint8Array(1_052_673), 'x'.repeat(121), null, 1, []],
  },
};

/** A map with one member replaced. */
export function withMember(map: object, name: string, value: unknown): object {
  return { ...map, [name]: value };
}

/** A map without one of its members. */
export function without(map: object, name: string): object {
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));
}

export const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 });
export const sequences = fc.integer({ min: 1, max: MAX_SEQUENCE });
export const counted = fc.integer({ min: 0, max: MAX_SEQUENCE });
export const origins = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
export const fingerprints = fc.stringMatching(/^[0-9a-f]{32}$/);
const writers = fc.stringMatching(/^[A-Za-z0-9]{1,32}:[A-Za-z0-9_-]{8,64}$/);
const epochs = fc.integer({ min: 1, max: MAX_EPOCH });
export const clockTimes = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

export const claims: fc.Arbitrary<Claim> = fc.record(
  { host: fingerprints, epoch: epochs, origin: origins, writer: writers },
  { noNullPrototype: true },
);

export const trees: fc.Arbitrary<Tree> = fc.record(
  {
    ts: clockTimes,
    base: fc.oneof(counted, fc.constant(NOT_ELECTED)),
    line: fc.integer({ min: 1, max: MAX_LINE }),
    root: hashes,
    begun: hashes,
    epoch: epochs,
    origin: origins,
    quorum: counted,
    writer: writers,
    sequence: sequences,
    quorumRoot: hashes,
  },
  { noNullPrototype: true },
);

export const sealedEvents: fc.Arbitrary<SealedEvent> = fc.record(
  {
    ts: fc.integer({ min: -8.64e15, max: 8.64e15 }),
    etype: fc.integer({ min: 10, max: 65_535 }),
    sealed: fc.uint8Array({ minLength: 121, maxLength: 300 }),
  },
  { noNullPrototype: true },
);
