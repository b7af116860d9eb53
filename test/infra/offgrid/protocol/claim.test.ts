import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openClaim, signClaim, type Claim } from '../../../../src/infra/offgrid/protocol/claim.js';
import {
  claimLimits,
  claims,
  codeOf,
  messageOf,
  newKeys,
  signContent,
  signMap,
  without,
  withMember,
} from '../../../support/offgrid/protocol-2.js';

const { privateKey, verifyKey } = newKeys();
const claim: Claim = { host: '0123456789abcdef'.repeat(2), epoch: 1, origin: 'core-1', writer: 'log:12345678' };

describe('a claim', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(claims, (given) => {
        const signed = signClaim(given, privateKey);
        expect(openClaim(signed, verifyKey).value).toEqual(given);
        expect(Buffer.from(signed.content)).toEqual(Buffer.from(encode(given)));
      }),
    );
  });

  describe.each(Object.entries(claimLimits))('its %s', (name, { inside, outside }) => {
    it.each(inside)('may be %s', (value) => {
      const map = withMember(claim, name, value);
      expect(openClaim(signMap('claim', map, privateKey), verifyKey).value).toEqual(map);
    });

    it.each(outside)('may not be %s', (value) => {
      const signed = signMap('claim', withMember(claim, name, value), privateKey);
      expect(codeOf(() => openClaim(signed, verifyKey))).toBe('MALFORMED');
      expect(messageOf(() => openClaim(signed, verifyKey))).toContain(`claim.${name} is`);
    });

    it('may not be missing', () => {
      const signed = signMap('claim', without(claim, name), privateKey);
      expect(messageOf(() => openClaim(signed, verifyKey))).toContain(`claim.${name} is missing`);
    });
  });

  it('is not signed with a member out of range', () => {
    expect(codeOf(() => signClaim({ ...claim, epoch: 0 }, privateKey))).toBe('MALFORMED');
    expect(codeOf(() => signClaim({ ...claim, origin: '' }, privateKey))).toBe('MALFORMED');
  });

  it('may have unknown members, as long as their encoding is valid', () => {
    const more = { ...claim, a: 1, later: [{ deep: null }], __proto: true };
    expect(openClaim(signMap('claim', more, privateKey), verifyKey).value).toEqual(claim);
    expect(signClaim(more, privateKey).content).toEqual(signClaim(claim, privateKey).content);
  });

  it('is a map', () => {
    for (const other of [null, 1, [], [claim], 'claim', new Uint8Array(3)])
      expect(codeOf(() => openClaim(signContent('claim', encode(other), privateKey), verifyKey))).toBe('MALFORMED');
  });
});
