import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  authHeaders,
  clockSignature,
  requestSignature,
  sameSignature,
  type AuthenticatedRequest,
} from '../../../../src/infra/offgrid/wire/auth.js';

const request: AuthenticatedRequest = {
  host: '0123456789abcdef0123456789abcdef',
  method: 'POST',
  path: '/replica/core/events?after=1',
  body: Buffer.from('body'),
};
const NONCE = '00112233445566778899aabbccddeeff';

describe('the headers of a request', () => {
  it('are HMAC-SHA256 over lines that others can make too', () => {
    const digest = createHash('sha256').update('body').digest('hex');
    const lines = `request\n${request.host}\nPOST\n/replica/core/events?after=1\n1700000000\n${NONCE}\n${digest}`;
    const expected = createHmac('sha256', 'key').update(lines).digest('hex');
    expect(requestSignature('key', request, '1700000000', NONCE)).toBe(expected);
  });

  it('tell the time in whole seconds, and are new each time', () => {
    const [first, second] = [
      authHeaders('key', request, 1_700_000_000_999),
      authHeaders('key', request, 1_700_000_000_999),
    ];
    expect(first['x-offgrid-date']).toBe('1700000000');
    expect(first['x-offgrid-nonce']).toMatch(/^[0-9a-f]{32}$/);
    expect(first['x-offgrid-nonce']).not.toBe(second['x-offgrid-nonce']);
    const signature = requestSignature('key', request, '1700000000', first['x-offgrid-nonce']!);
    expect(first['x-offgrid-signature']).toBe(signature);
  });

  it('are others when anything is', () => {
    const signatures = [
      requestSignature('key', request, '1', NONCE),
      requestSignature('kez', request, '1', NONCE),
      requestSignature('key', request, '2', NONCE),
      requestSignature('key', request, '1', NONCE.replace('0', '1')),
      requestSignature('key', { ...request, host: 'f'.repeat(32) }, '1', NONCE),
      requestSignature('key', { ...request, method: 'GET' }, '1', NONCE),
      requestSignature('key', { ...request, path: '/replica/core/events?after=2' }, '1', NONCE),
      requestSignature('key', { ...request, body: new Uint8Array() }, '1', NONCE),
      clockSignature('key', request.host, NONCE, '1'),
    ];
    expect(new Set(signatures).size).toBe(signatures.length);
  });
});

it('signatures are the same when their texts are, whatever these are', () => {
  const text = fc.string({ unit: 'binary', maxLength: 70 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(sameSignature(a, a)).toBe(true);
      expect(sameSignature(a, b)).toBe(Buffer.from(a).equals(Buffer.from(b)));
    }),
  );
  expect(sameSignature('é'.repeat(64), 'a'.repeat(64))).toBe(false);
});
