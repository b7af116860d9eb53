import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePythonJson, type ReceivedObject } from '../../../../src/infra/offgrid/broker/python-json.js';
import {
  readTime,
  SIGNATURE_WINDOW_S,
  SignatureVerifier,
  signBody,
} from '../../../../src/infra/offgrid/broker/signature.js';
import { AUTH_KEY, ManualClock } from '../../../support/broker/broker.js';
import { runPython } from '../../../support/broker/python.js';

/** A body as an old client sends it, written by hand in the text that is signed. */
function oldBody(unsigned: string, key = AUTH_KEY): ReceivedObject {
  const signature = createHmac('sha256', key).update(unsigned).digest('hex');
  return parsePythonJson(unsigned.replace(/\}$/, `, "signature": "${signature}"}`)) as ReceivedObject;
}

function newBody(clock: ManualClock): ReceivedObject {
  return parsePythonJson(signBody({ id: 'a' }, AUTH_KEY, clock.now())) as ReceivedObject;
}

describe('a signed body', () => {
  it('has the time in whole seconds, its own nonce, and the signature that Python computes', async () => {
    const clock = new ManualClock(1_800_000_000.75);
    const text = signBody({ id: 'é😀', meta: { b: 1, a: [2] } }, AUTH_KEY, clock.now());
    const body = JSON.parse(text) as { timestamp: number; nonce: string; signature: string };
    expect(body.timestamp).toBe(1_800_000_000);
    expect(body.nonce).toMatch(/^[0-9a-f]{32}$/);
    const program = `
import hashlib, hmac, json, sys
body = json.load(sys.stdin)
body.pop("signature")
print(hmac.new(sys.argv[1].encode(), json.dumps(body, sort_keys=True).encode(), hashlib.sha256).hexdigest())
`;
    expect((await runPython(['-c', program, AUTH_KEY], text)).trim()).toBe(body.signature);
  });

  it('is accepted once', () => {
    const clock = new ManualClock();
    const verifier = new SignatureVerifier(AUTH_KEY, clock);
    const body = newBody(clock);
    expect(verifier.verify(body)).toBeUndefined();
    expect(verifier.verify(body)).toMatchObject({ status: 401, code: 'REPLAYED' });
    expect(verifier.verify(newBody(clock))).toBeUndefined();
  });

  it('is not accepted again at any later time, even if its clock was ahead', () => {
    const clock = new ManualClock();
    const verifier = new SignatureVerifier(AUTH_KEY, clock);
    const ahead = newBody(new ManualClock(clock.seconds + SIGNATURE_WINDOW_S));
    expect(verifier.verify(ahead)).toBeUndefined();
    for (let passed = 0; passed <= 3 * SIGNATURE_WINDOW_S; passed += 10, clock.seconds += 10) {
      expect(verifier.verify(ahead)?.status).toBe(401);
    }
  });

  it('is accepted from an old client, without a nonce and with fractions in its time', () => {
    const verifier = new SignatureVerifier(AUTH_KEY, new ManualClock(1_800_000_000));
    const body = oldBody('{"id": "a", "required": 1.0, "timestamp": 1800000000.1234567}');
    expect(verifier.verify(body)).toBeUndefined();
    expect(verifier.verify(body)).toBeUndefined();
  });

  it.each([-SIGNATURE_WINDOW_S, SIGNATURE_WINDOW_S])('is accepted when its time is off by %d s', (offset) => {
    const verifier = new SignatureVerifier(AUTH_KEY, new ManualClock(1_800_000_000));
    expect(verifier.verify(oldBody(`{"timestamp": ${1_800_000_000 + offset}}`))).toBeUndefined();
  });

  it.each(['1799999699', '1800000301', '1800000300.5', '-1800000000', '"1800000000"', 'null', '[]', '1e300'])(
    'is refused when its time is %s, with the broker’s time',
    (timestamp) => {
      const verifier = new SignatureVerifier(AUTH_KEY, new ManualClock(1_800_000_000));
      const problem = verifier.verify(oldBody(`{"timestamp": ${timestamp}}`));
      expect(problem).toMatchObject({ status: 401, code: 'STALE_TIMESTAMP' });
      expect(problem?.message).toContain("the broker's time is 1800000000");
    },
  );

  it('is refused when anything in it is changed', () => {
    const clock = new ManualClock();
    const verifier = new SignatureVerifier(AUTH_KEY, clock);
    const text = signBody({ id: 'a', required: 2 }, AUTH_KEY, clock.now());
    const changed = [
      text.replace('"id": "a"', '"id": "b"'),
      text.replace('"required": 2', '"required": 2.0'),
      text.replace('"id": "a"', '"id": "a", "more": null'),
      text.replace(/"nonce": "[^"]*", /, ''),
      text.replace(/"signature": "./, (start) => `${start.slice(0, -1)}${start.endsWith('0') ? '1' : '0'}`),
      text.replace(/"signature": "[^"]*"/, '"signature": "short"'),
      text.replace(/"signature": "[^"]*"/, '"signature": 1'),
      text.replace(/, "signature": "[^"]*"/, ''),
    ];
    for (const each of changed) {
      expect(each).not.toBe(text);
      expect(verifier.verify(parsePythonJson(each) as ReceivedObject)?.code).toBe('BAD_SIGNATURE');
    }
    expect(verifier.verify(parsePythonJson(text) as ReceivedObject)).toBeUndefined();
  });

  it('is refused when it is signed under another key', () => {
    const clock = new ManualClock();
    const body = oldBody(`{"timestamp": ${clock.seconds}}`, 'another key');
    expect(new SignatureVerifier(AUTH_KEY, clock).verify(body)?.code).toBe('BAD_SIGNATURE');
  });

  it.each(['"short"', '7', '"with a space in it"'])('is refused when its nonce is %s', (nonce) => {
    const clock = new ManualClock();
    const body = oldBody(`{"nonce": ${nonce}, "timestamp": ${clock.seconds}}`);
    expect(new SignatureVerifier(AUTH_KEY, clock).verify(body)?.message).toContain('`nonce` must be');
  });

  it('is refused while too many nonces are remembered, so that no body can be replayed', () => {
    const clock = new ManualClock();
    const verifier = new SignatureVerifier(AUTH_KEY, clock, 2);
    expect(verifier.verify(newBody(clock))).toBeUndefined();
    expect(verifier.verify(newBody(clock))).toBeUndefined();
    expect(verifier.verify(newBody(clock))).toMatchObject({ status: 503, code: 'TOO_MANY_NONCES' });
    clock.seconds += 2 * SIGNATURE_WINDOW_S + 1;
    expect(verifier.verify(newBody(clock))).toBeUndefined();
  });
});

describe('the time that a broker states', () => {
  const problemOf = (nonce: string) => {
    const verifier = new SignatureVerifier(AUTH_KEY, new ManualClock(1_800_000_000));
    return verifier.verify(oldBody(`{${nonce}"timestamp": 5}`));
  };
  const clock = problemOf('"nonce": "0123456789abcdef", ')?.clock ?? { time: 0, nonce: '', signature: '' };

  it('is sent only to clients that have the key and sent a nonce', () => {
    expect(clock.time).toBe(1_800_000_000);
    expect(problemOf('')).not.toHaveProperty('clock');
    expect(problemOf('"nonce": 7, ')).not.toHaveProperty('clock');
  });

  it('is accepted unchanged, for the nonce that was sent, under the same key', () => {
    expect(readTime(clock, AUTH_KEY, clock.nonce)).toBe(1_800_000_000);
    expect(readTime(clock, AUTH_KEY, 'another nonce')).toBeUndefined();
    expect(readTime({ ...clock, nonce: 'another nonce' }, AUTH_KEY, 'another nonce')).toBeUndefined();
    expect(readTime(clock, 'another key', clock.nonce)).toBeUndefined();
    expect(readTime({ ...clock, time: 5 }, AUTH_KEY, clock.nonce)).toBeUndefined();
    expect(readTime({ ...clock, signature: '' }, AUTH_KEY, clock.nonce)).toBeUndefined();
  });
});
