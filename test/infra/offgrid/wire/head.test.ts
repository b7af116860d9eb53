import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isSigned, signedHeadSchema, signHead } from '../../../../src/infra/offgrid/wire/head.js';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const unsigned = {
  tag: 'head/v1',
  host: '0123456789abcdef0123456789abcdef',
  origin: 'core',
  epoch: 2,
  sequence: 7,
  root: 'ab'.repeat(32),
  ts: 1_700_000_000_000,
} as const;

describe('a head', () => {
  it('is signed with everything in it, and its challenge when it has one', () => {
    const head = signHead(privateKey, unsigned);
    const answer = signHead(privateKey, { ...unsigned, challenge: 'challenge' });
    for (const signed of [head, answer]) {
      expect(signedHeadSchema.parse(JSON.parse(JSON.stringify(signed)))).toEqual(signed);
      expect(isSigned(signed, publicKey)).toBe(true);
      expect(isSigned(signed, generateKeyPairSync('ed25519').publicKey)).toBe(false);
    }
    const changes = [
      { host: 'f'.repeat(32) },
      { origin: 'core-2' },
      { epoch: 3 },
      { sequence: 8 },
      { root: 'cd'.repeat(32) },
      { ts: 1 },
      { challenge: 'another' },
      { signature: '' },
    ];
    for (const change of changes)
      expect(isSigned({ ...head, ...change }, publicKey), Object.keys(change)[0]).toBe(false);
    const { challenge: _, ...without } = answer;
    expect(isSigned(without, publicKey)).toBe(false);
  });

  it('is nothing else', () => {
    const head = signHead(privateKey, unsigned);
    const others = [
      { ...head, tag: 'head/v2' },
      { ...head, sequence: -1 },
      { ...head, sequence: 1.5 },
      { ...head, sequence: 2 ** 53 },
      { ...head, root: 'AB'.repeat(32) },
      { ...head, challenge: undefined },
      { ...head, more: 1 },
      [head],
      null,
    ];
    for (const other of others) expect(signedHeadSchema.safeParse(other).success, JSON.stringify(other)).toBe(false);
  });
});
