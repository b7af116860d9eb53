import { describe, expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { certificateFor } from '../../../support/eventstore/certificates.js';
import { newEvent, newStream } from '../../../support/events.js';
import { quiet } from '../../../support/quiet.js';
import { idsIn, openLog, startServer } from './setup.js';

const PASSWORD = 'swordfish';

/** The error of opening a log, and how long it took, in milliseconds. */
async function refusal(url: string): Promise<{ code: string; message: string; ms: number }> {
  const startedAt = performance.now();
  const [outcome] = await Promise.allSettled([EventStoreLog.open(readAddress(url), quiet)]);
  if (outcome.status === 'fulfilled') {
    await outcome.value.close();
    throw new Error('it was let in');
  }
  const { code, message } = outcome.reason as { code: string; message: string };
  return { code, message, ms: performance.now() - startedAt };
}

describe('an append that is larger than the server accepts', () => {
  it.each([100_000, 1024 * 1024])('is refused with the limit of %i and the option for it', async (maxAppendSize) => {
    const server = await startServer({ maxAppendSize });
    const log = await openLog(server.url);
    const data = { text: 'x'.repeat(400_000) };
    const appending = log.append(newStream(), [newEvent({ data }), newEvent({ data }), newEvent({ data })], 'any');
    await expect(appending).rejects.toMatchObject({
      name: 'LogError',
      code: 'LOG_TOO_LARGE',
      message: expect.stringMatching(
        new RegExp(`accepts at most ${maxAppendSize} bytes at a time; raise its MaxAppendSize`),
      ),
    });
    await log.append(newStream(), [newEvent()], 'any');
    expect(await idsIn(log)).toHaveLength(1);
  });
});

describe('a server that requires a user and a password', () => {
  it('is opened with them', async () => {
    const server = await startServer({ tls: certificateFor('localhost'), users: { sheratan: PASSWORD } });
    const log = await openLog(server.url);
    await log.append(newStream(), [newEvent()], 'any');
    expect(await idsIn(log)).toHaveLength(1);
  });

  it.each(['a:b', 'a@b', 'a%b', 'a%40b', 'ä ö/ü?&=#', ':', '%'])('is opened with the password %j', async (password) => {
    const server = await startServer({ tls: certificateFor('localhost'), users: { 'me@you%': password } });
    await openLog(server.url);
  });

  it('refuses others immediately, in one line and without the password', async () => {
    const server = await startServer({ tls: certificateFor('localhost'), users: { sheratan: PASSWORD } });
    const urls = [
      server.url.replace(PASSWORD, `not-${PASSWORD}`),
      server.url.replace('sheratan:', `${PASSWORD}:`),
      server.url.replace(/\/\/[^@]*@/, '//'),
    ];
    for (const url of urls) {
      const { code, message, ms } = await refusal(url);
      expect(code).toBe('LOG_DENIED');
      expect(message).toMatch(/^esdb:\/\/localhost:\d+ refuses access: give EVENTSTORE_URL a user and password .*\.$/);
      expect(message).not.toContain(PASSWORD);
      expect(ms).toBeLessThan(5_000);
    }
  });

  it('is reported by appends and readers when it refuses a login that it accepted before', async () => {
    const users: Record<string, string> = { sheratan: PASSWORD };
    const server = await startServer({ tls: certificateFor('localhost'), users });
    const log = await openLog(server.url);
    await log.append('mission-1', [newEvent()], 'any');
    const reading = (async () => {
      for await (const _ of log.subscribe({ after: 0n, signal: AbortSignal.timeout(20_000) }));
    })();
    // It may reject before it is awaited.
    reading.catch(() => undefined);
    users['sheratan'] = 'changed';
    server.drop();
    await expect(log.append('mission-1', [newEvent()], 'any')).rejects.toMatchObject({ code: 'LOG_DENIED' });
    await expect(log.head()).rejects.toMatchObject({ code: 'LOG_DENIED' });
    await expect(reading).rejects.toMatchObject({ code: 'LOG_DENIED' });
    users['sheratan'] = PASSWORD;
    await log.append('mission-1', [newEvent()], 0n);
  });
});

describe('a secure connection that cannot be made', () => {
  it.each([
    ['whose authority is not named', (url: string) => url.replace(/&tlsCAFile=[^&]*/, ''), 'localhost'],
    ['whose certificate is of another host', (url: string) => url, 'elsewhere'],
  ] as const)('to a server %s is refused immediately, in one line', async (_, change, host) => {
    const server = await startServer({ tls: certificateFor(host) });
    const { code, message, ms } = await refusal(change(server.url));
    expect(code).toBe('LOG_DENIED');
    expect(message).toMatch(/^No secure connection to esdb:\/\/localhost:\d+: .*tlsCAFile= in EVENTSTORE_URL.*\.$/);
    expect(ms).toBeLessThan(5_000);
  });

  it('to a server without TLS is refused immediately, in one line', async () => {
    const server = await startServer();
    const { code, message, ms } = await refusal(`esdb://localhost:${server.port}?tls=true`);
    expect(code).toBe('LOG_DENIED');
    expect(message).toMatch(/^No secure connection to .*or use tls=false.*\.$/);
    expect(ms).toBeLessThan(5_000);
  });
});
