import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
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

  it('is waited for while it refuses everybody at first, as a new cluster does', async () => {
    const users: Record<string, string> = {};
    const server = await startServer({ tls: certificateFor('localhost'), users });
    setTimeout(() => (users['sheratan'] = PASSWORD), 400);
    const log = await openLog(server.url.replace('//', `//sheratan:${encodeURIComponent(PASSWORD)}@`));
    await log.append(newStream(), [newEvent()], 'any');
    expect(await idsIn(log)).toHaveLength(1);
  });

  it('refuses others, after the time that a new cluster may take, in one line and without the password', async () => {
    const server = await startServer({ tls: certificateFor('localhost'), users: { sheratan: PASSWORD } });
    const urls = [
      server.url.replace(PASSWORD, `not-${PASSWORD}`),
      server.url.replace('sheratan:', `${PASSWORD}:`),
      server.url.replace(/\/\/[^@]*@/, '//'),
    ];
    for (const { code, message, ms } of await Promise.all(urls.map((url) => refusal(url)))) {
      expect(code).toBe('LOG_DENIED');
      expect(message).toMatch(
        /^esdb:\/\/localhost:\d+ refuses access: give SHERATAN_EVENTSTORE_URL a user and password .*\.$/,
      );
      expect(message).not.toContain(PASSWORD);
      expect(ms).toBeGreaterThan(10_000);
      expect(ms).toBeLessThan(50_000);
    }
  });

  it('refuses the certificate of a user, and the message says what such certificates take', async () => {
    const tls = certificateFor('localhost');
    const server = await startServer({ tls, users: { sheratan: PASSWORD } });
    const folder = await mkdtemp(join(tmpdir(), 'sheratan-user-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const files = { userCertFile: tls.certificate, userKeyFile: tls.key };
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    const options = Object.keys(files).map((name) => `&${name}=${encodeURIComponent(join(folder, name))}`);
    const { code, message } = await refusal(`${server.url.replace(/\/\/[^@]*@/, '//')}${options.join('')}`);
    expect(code).toBe('LOG_DENIED');
    expect(message).toMatch(
      /refuses access: it does not accept the user's certificate, which takes a server with a license/,
    );
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
    expect(message).toMatch(
      /^No secure connection to esdb:\/\/localhost:\d+: .*tlsCAFile= in SHERATAN_EVENTSTORE_URL.*\.$/,
    );
    expect(ms).toBeLessThan(5_000);
  });

  it.each([
    ['several hosts', 'esdb://', 2],
    ['+discover', 'esdb+discover://', 1],
  ])(
    'to the nodes of a cluster, named by %s, is refused immediately, with what each host said',
    async (_, scheme, count) => {
      for (const host of ['localhost', 'elsewhere'] as const) {
        const tls = certificateFor(host);
        const first = await startServer({ tls });
        const nodes = [first, await startServer({ tls, store: first.store, role: 'follower' })].slice(0, count);
        const hosts = nodes.map(({ port }) => `localhost:${port}`);
        const trusted = `?tlsCAFile=${encodeURIComponent(tls.authorityFile)}`;
        const { code, message, ms } = await refusal(
          `${scheme}${hosts.join(',')}${host === 'localhost' ? '' : trusted}`,
        );
        expect(code).toBe('LOG_DENIED');
        expect(message).toMatch(/^No secure connection to esdb.*tlsCAFile= in SHERATAN_EVENTSTORE_URL.*\.$/);
        const reason = host === 'localhost' ? 'unable to verify the first certificate' : 'Hostname/IP does not match';
        for (const each of hosts) expect(message).toContain(`${each}: ${reason}`);
        expect(ms).toBeLessThan(5_000);
      }
    },
  );

  it('to a cluster with TLS, when there is to be none, is refused with what to do', async () => {
    const nodes = [
      await startServer({ tls: certificateFor('localhost') }),
      await startServer({ tls: certificateFor('localhost') }),
    ];
    const { code, message } = await refusal(
      `esdb://${nodes.map(({ port }) => `localhost:${port}`).join(',')}?tls=false`,
    );
    expect(code).toBe('LOG_UNAVAILABLE');
    expect(message).toMatch(/ It closes the connection immediately: if it uses TLS, remove tls=false\.$/);
  });

  it('to a server without TLS is refused immediately, in one line', async () => {
    const server = await startServer();
    const { code, message, ms } = await refusal(`esdb://localhost:${server.port}?tls=true`);
    expect(code).toBe('LOG_DENIED');
    expect(message).toMatch(/^No secure connection to .*or use tls=false.*\.$/);
    expect(ms).toBeLessThan(5_000);
  });
});
