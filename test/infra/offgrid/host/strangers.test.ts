import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readBody } from '../../../../src/infra/offgrid/host/body-reader.js';
import { hostKeyOf } from '../../../../src/infra/offgrid/protocol/authentication.js';
import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';
import { HEAD, headersFor, open, requestCases } from '../../../support/offgrid/conformance/requests.js';
import { AUTH_KEY, newHost } from '../../../support/offgrid/host.js';

requestCases(startHost2);

describe('a request', () => {
  it('to a host that has only its own key is signed with that key', async () => {
    const host = await newHost({ authKey: hostKeyOf(AUTH_KEY, '0'.repeat(32)) });
    expect((await fetch(`${host.url}${HEAD}`, { headers: headersFor(host) })).status).toBe(401);
  });

  it('that does not end does not keep the host from closing', { timeout: 30_000 }, async () => {
    const host = await newHost();
    const [silent, half] = [await open(host), await open(host)];
    half.write(`GET ${HEAD} HTTP/1.1\r\nx-`);
    await sleep(50);
    const begun = performance.now();
    await host.close();
    expect(performance.now() - begun).toBeLessThan(25_000);
    silent.destroy();
  });
});

describe('a body', () => {
  const patience = { graceMs: 100, windowMs: 300, minBytesPerSecond: 1_000 };

  it('that makes progress is read, however long it takes', async () => {
    // Far above the minimum rate, with a window that is longer than a pause of the machine.
    const body = Readable.from(dripping(60, 1_000, 50));
    expect((await readBody(body, 100_000, { ...patience, windowMs: 1_500 })).byteLength).toBe(60_000);
  });

  it('that stops or arrives too slowly is refused', async () => {
    for (const bytes of [0, 10])
      await expect(readBody(Readable.from(dripping(1_000, bytes, 50)), 100_000, patience)).rejects.toMatchObject({
        code: 'BAD_REQUEST',
      });
  });

  it('that is too large is not read to its end', async () => {
    const body = Readable.from(dripping(1_000, 100, 1));
    await expect(readBody(body, 1_000, patience)).rejects.toMatchObject({ code: 'TOO_LARGE' });
    expect(body.destroyed).toBe(true);
  });
});

async function* dripping(count: number, bytes: number, everyMs: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i += 1) {
    await sleep(everyMs);
    yield Buffer.alloc(bytes);
  }
}
