import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ANSWER_HEADER,
  answerSignature,
  BODY_HEADER,
  bodyHashOf,
  clockSignature,
  hostKeyOf,
  isAnswerSignature,
  isRequestSignature,
  requestHeaders,
  requestSignature,
} from '../../../../src/infra/offgrid/protocol/authentication.js';

const host = '0123456789abcdef0123456789abcdef';
const nonce = '00112233445566778899aabbccddeeff';
const key = hostKeyOf('the shared key', host);
const body = Buffer.from('body');
const bodyHash = createHash('sha256').update(body).digest('hex');
const request = { host, method: 'POST', path: '/replica/core/events?after=1', date: '1700000000', nonce, bodyHash };
const answer = { host, nonce, status: 200, body };

const signs = (lines: readonly string[]) => createHmac('sha256', key).update(lines.join('\n')).digest('hex');

describe('the key of a host', () => {
  it('is HMAC-SHA256 of its fingerprint under the shared key', () => {
    const expected = createHmac('sha256', 'the shared key').update(`host/2\n${host}`).digest('hex');
    expect(Buffer.from(key).toString('hex')).toBe(expected);
    expect(key.byteLength).toBe(32);
    expect(hostKeyOf('the shared key', 'f'.repeat(32))).not.toEqual(key);
    expect(hostKeyOf('another', host)).not.toEqual(key);
  });
});

describe('the signature of a request', () => {
  it('is HMAC-SHA256 over lines that others can make too', () => {
    const lines = ['request/2', host, 'POST', '/replica/core/events?after=1', '1700000000', nonce, bodyHash];
    expect(requestSignature(key, request)).toBe(signs(lines));
    expect(bodyHashOf(body)).toBe(bodyHash);
    expect(requestHeaders(key, request)).toEqual({
      'x-offgrid-date': '1700000000',
      'x-offgrid-nonce': nonce,
      [BODY_HEADER]: bodyHash,
      'x-offgrid-signature': signs(lines),
    });
  });

  it('is valid for this request only', () => {
    const signature = requestSignature(key, request);
    expect(isRequestSignature(key, request, signature)).toBe(true);
    const changes = [
      { host: 'f'.repeat(32) },
      { method: 'GET' },
      { path: '/replica/core/events?after=2' },
      { date: '1700000001' },
      { nonce: nonce.replace('0', '1') },
      { bodyHash: bodyHashOf(Buffer.from('bodx')) },
    ];
    for (const change of changes) expect(isRequestSignature(key, { ...request, ...change }, signature)).toBe(false);
    expect(isRequestSignature(hostKeyOf('the shared key', 'f'.repeat(32)), request, signature)).toBe(false);
    for (const other of ['', signature.slice(1), `${signature}0`, signature.toUpperCase(), 'é'.repeat(64)])
      expect(isRequestSignature(key, request, other)).toBe(false);
  });

  it('is invalid when a digit is changed', () => {
    const signature = requestSignature(key, request);
    fc.assert(
      fc.property(fc.nat({ max: 63 }), fc.stringMatching(/^[0-9a-f]$/), (at, digit) => {
        const changed = signature.slice(0, at) + digit + signature.slice(at + 1);
        expect(isRequestSignature(key, request, changed)).toBe(changed === signature);
      }),
    );
  });
});

describe('the signature of an answer', () => {
  it('is HMAC-SHA256 over lines that others can make too', () => {
    expect(answerSignature(key, answer)).toBe(signs(['answer/2', host, nonce, '200', bodyHash]));
  });

  it('is valid for this answer only', () => {
    const signature = answerSignature(key, answer);
    expect(isAnswerSignature(key, answer, signature)).toBe(true);
    const changes = [
      { host: 'f'.repeat(32) },
      { nonce: nonce.replace('0', '1') },
      { status: 503 },
      { body: Buffer.from('bodx') },
    ];
    for (const change of changes) expect(isAnswerSignature(key, { ...answer, ...change }, signature)).toBe(false);
    expect(isAnswerSignature(hostKeyOf('another', host), answer, signature)).toBe(false);
    expect(isAnswerSignature(key, answer, '')).toBe(false);
    expect(isAnswerSignature(key, answer, requestSignature(key, request))).toBe(false);
  });
});

it('the headers of protocol 2 have their own names', () => {
  expect([BODY_HEADER, ANSWER_HEADER]).toEqual(['x-offgrid-body', 'x-offgrid-answer']);
});

it('the clock of a host is signed over its own lines', () => {
  expect(clockSignature(key, host, nonce, '1700000000')).toBe(signs(['clock', host, nonce, '1700000000']));
});
