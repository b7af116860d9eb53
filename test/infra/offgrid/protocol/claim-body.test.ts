import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openClaim, signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import { decodeClaimBody, encodeClaimBody } from '../../../../src/infra/offgrid/protocol/claim-body.js';
import { SMALL_ORDER_KEYS } from '../../../../src/infra/offgrid/protocol/verify-key.js';
import { claims, codeOf, messageOf, newKeys, without } from '../../../support/offgrid/protocol-2.js';

const { privateKey, verifyKey } = newKeys();
const [sample] = fc.sample(claims, 1);
const claim = signClaim(sample!, privateKey);
const body = { key: verifyKey, claim: [claim.content, claim.signature], challenge: new Uint8Array(16) };
const decode = (map: unknown) => decodeClaimBody(encode(map));

describe('the body of a claim', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(claims, fc.uint8Array({ minLength: 16, maxLength: 16 }), (given, challenge) => {
        const sent = { key: verifyKey, claim: signClaim(given, privateKey), challenge };
        const decoded = decodeClaimBody(encodeClaimBody(sent));
        expect({ ...decoded, key: Buffer.from(decoded.key) }).toEqual({ ...sent, key: Buffer.from(verifyKey) });
        expect(openClaim(decoded.claim, decoded.key).value).toEqual(given);
      }),
    );
  });

  it('has a key that may be pinned', () => {
    for (const key of [...SMALL_ORDER_KEYS.map((hex) => Buffer.from(hex, 'hex')), verifyKey.subarray(1), null, 'key']) {
      expect(codeOf(() => decode({ ...body, key }))).toBe('MALFORMED');
      expect(messageOf(() => decode({ ...body, key }))).toContain('not of small order');
    }
  });

  it('requires a challenge of 16 bytes, a signed claim, and all members', () => {
    for (const challenge of [new Uint8Array(15), new Uint8Array(17), '0'.repeat(16), null])
      expect(messageOf(() => decode({ ...body, challenge }))).toContain('body.challenge is');
    for (const other of [null, [], [claim.content], claim.content])
      expect(messageOf(() => decode({ ...body, claim: other }))).toContain('body.claim is');
    for (const name of Object.keys(body)) expect(messageOf(() => decode(without(body, name)))).toContain('is missing');
    expect(decode({ ...body, later: true }).claim).toEqual(claim);
  });

  it('has at most 16 KiB', () => {
    const sized = (bytes: number) => encode({ ...body, later: new Uint8Array(bytes) });
    const overhead = sized(10_000).byteLength - 10_000;
    expect(decodeClaimBody(sized(16 * 1024 - overhead)).claim).toEqual(claim);
    expect(codeOf(() => decodeClaimBody(sized(16 * 1024 - overhead + 1)))).toBe('TOO_LARGE');
  });
});
