import { describe, expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import {
  claimSchema,
  isClaimSigned,
  MAX_EPOCH,
  MAX_ORIGIN_LENGTH,
  ORIGIN,
  signClaim,
} from '../../../../src/infra/offgrid/wire/claim.js';

const root = RootKey.generate();
const key = root.verifyKey;
const CORE = { origin: 'core', host: 'a host' };
const claim = signClaim(root, CORE, { epoch: 1, writer: 'abcdef:writer-1', challenge: 'challenge-challenge' });

describe('a claim', () => {
  it('is signed for its origin, with everything in it', () => {
    expect(claimSchema.parse(claim)).toEqual(claim);
    expect(isClaimSigned(claim, CORE, key)).toBe(true);
    expect(isClaimSigned(claim, { ...CORE, origin: 'core-2' }, key)).toBe(false);
    expect(isClaimSigned(claim, { ...CORE, host: 'another' }, key)).toBe(false);
    expect(isClaimSigned({ ...claim, epoch: 2 }, CORE, key)).toBe(false);
    expect(isClaimSigned({ ...claim, writer: 'abcdef:writer-2' }, CORE, key)).toBe(false);
    expect(isClaimSigned({ ...claim, challenge: 'challenge-challengf' }, CORE, key)).toBe(false);
    expect(isClaimSigned(claim, CORE, RootKey.generate().verifyKey)).toBe(false);
  });

  it('has an epoch from 1 up to the highest', () => {
    const isOne = (epoch: unknown) => claimSchema.safeParse({ ...claim, epoch }).success;
    expect([1, MAX_EPOCH].map(isOne)).toEqual([true, true]);
    expect([0, -1, 1.5, MAX_EPOCH + 1, Infinity, Number.NaN, 1n, '1', null].some(isOne)).toBe(false);
  });
});

it('an origin has a name that fits into a path', () => {
  const names = ['c', 'core-v2', 'Core.2_x', 'a'.repeat(MAX_ORIGIN_LENGTH)];
  expect(names.every((name) => ORIGIN.test(name))).toBe(true);
  const others = ['', '.', '..', '-core', 'core/2', 'core 2', 'core\n', 'cöre', 'a'.repeat(MAX_ORIGIN_LENGTH + 1)];
  expect(others.some((name) => ORIGIN.test(name))).toBe(false);
});
