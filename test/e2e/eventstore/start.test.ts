import { describe, expect, it, onTestFinished } from 'vitest';
import { newDataDir, Sheratan } from '../../support/core.js';
import { certificateFor } from '../../support/eventstore/certificates.js';
import type { StandIn, StandInOptions } from '../../support/eventstore/stand-in.js';
import { startStandIn } from '../../support/log-server.js';
import { quietPort } from '../../support/ports.js';

/** How long a process may take to listen, or to see that a server is away or is back. */
const WAIT = { timeout: 60_000 };
/** How long a core that does not wait for its server may take to report it, beyond the start of a process, in milliseconds. */
const AT_ONCE_MS = 6_000;
/** How long a refusal may be that of a new cluster, in milliseconds. */
const NEW_CLUSTER_MS = 10_000;

async function standIn(options: StandInOptions = {}): Promise<StandIn> {
  const server = await startStandIn(options);
  onTestFinished(() => server.stop());
  return server;
}

async function startedOn(server: StandIn): Promise<{ core: Sheratan; url: string }> {
  const port = await quietPort();
  const core = new Sheratan(['serve'], await newDataDir(), {
    SHERATAN_EVENTSTORE_URL: server.url,
    SHERATAN_PORT: String(port),
    SHERATAN_LOG_LEVEL: 'info',
  });
  onTestFinished(() => core.kill());
  return { core, url: `http://127.0.0.1:${port}` };
}

async function answerOf(url: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url).catch(() => undefined);
  return { status: response?.status ?? 0, body: await response?.json() };
}

describe('a core whose server is down', () => {
  it('is alive, reports why it is not ready, logs that it tries, and starts when the server does', async () => {
    const server = await standIn();
    await server.refuse();
    const { core, url } = await startedOn(server);

    await expect.poll(() => answerOf(`${url}/livez`), WAIT).toEqual({ status: 200, body: { status: 'ok' } });
    expect(await answerOf(`${url}/readyz`)).toEqual({
      status: 503,
      body: { status: 'not ready', reasons: ['log: CONNECTING'] },
    });
    await expect
      .poll(() => answerOf(`${url}/readyz`), WAIT)
      .toEqual({ status: 503, body: { status: 'not ready', reasons: ['log: LOG_UNAVAILABLE'] } });
    expect(await answerOf(`${url}/graphql`)).toMatchObject({
      status: 503,
      body: { errors: [{ extensions: { code: 'STARTING' } }] },
    });
    const messages = () => core.output.map((line) => (JSON.parse(line) as { msg: string }).msg);
    const shown = `esdb://127.0.0.1:${server.port}`;
    const isTriedAgain = new RegExp(`^${shown} cannot be reached at present \\(`);
    await expect.poll(messages).toContainEqual(expect.stringMatching(isTriedAgain));
    expect(messages().at(0)).toMatch(new RegExp(`^${shown} does not answer; trying again \\(.*ECONNREFUSED.*\\)$`));

    await server.accept();
    await core.listening();
    await expect.poll(() => answerOf(`${url}/readyz`), WAIT).toEqual({ status: 200, body: { status: 'ready' } });
  });

  it('stops immediately on a signal while it waits', async () => {
    const server = await standIn();
    await server.refuse();
    const { core, url } = await startedOn(server);
    await expect.poll(() => answerOf(`${url}/livez`), WAIT).toMatchObject({ status: 200 });
    const toldAt = performance.now();
    expect(await core.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - toldAt).toBeLessThan(AT_ONCE_MS);
  });

  it('is not ready while the server is away later, and is ready again when the server is back', async () => {
    const server = await standIn();
    const core = await Sheratan.serve(await newDataDir(), { SHERATAN_EVENTSTORE_URL: server.url });
    const { createMission } = await core.gql(
      'mutation { createMission(input: { title: "Before" }) { ... on CreateMissionPayload { mission { id } } } }',
    );
    await server.refuse();
    await expect
      .poll(() => answerOf(`${core.url}/readyz`), WAIT)
      .toEqual({ status: 503, body: { status: 'not ready', reasons: ['log: LOG_UNAVAILABLE'] } });
    // Queries of its read models are still answered.
    const { missions } = await core.gql('{ missions { edges { node { id } } } }');
    expect(missions.edges[0].node.id).toBe(createMission.mission.id);
    const refused = await core.ask('mutation { createMission(input: { title: "T" }) { __typename } }');
    expect(refused.errors).toMatchObject([{ extensions: { code: 'LOG_UNAVAILABLE' } }]);

    await server.accept();
    await expect.poll(() => answerOf(`${core.url}/readyz`), WAIT).toMatchObject({ status: 200 });
    await core.gql('mutation { createMission(input: { title: "After" }) { __typename } }');
    await expect.poll(async () => (await core.gql('{ missions { totalCount } }')).missions.totalCount).toBe(2);
  });
});

describe('a core that can never reach its server reports why in one line, and ends:', () => {
  const run = async (url: string) => {
    const startedAt = performance.now();
    const ended = await Sheratan.run(['serve'], await newDataDir(), { SHERATAN_EVENTSTORE_URL: url });
    return { ...ended, tookMs: performance.now() - startedAt };
  };
  const refusal = async (url: string, atMostMs = AT_ONCE_MS) => {
    // The time that a process takes on this machine: a wrong setting ends it before it sends any request.
    const { tookMs: processMs } = await run('no address');
    const { code, errors, tookMs } = await run(url);
    expect(tookMs - processMs).toBeLessThan(atMostMs);
    expect(code).toBe(78);
    expect(errors).toEqual([expect.any(String)]);
    expect(errors[0]).not.toContain('wrong-password');
    return errors[0];
  };

  it('a bad address', async () => {
    expect(await refusal('eventstore://admin:wrong-password@node')).toMatch(
      /^sheratan: SHERATAN_EVENTSTORE_URL: it must be esdb:\/\/\[user:password@\]host/,
    );
  });

  it('a wrong password', async () => {
    const tls = certificateFor('localhost');
    const server = await standIn({ tls, users: { ops: 'right' } });
    const authority = encodeURIComponent(tls.authorityFile);
    const url = `esdb://ops:wrong-password@localhost:${server.port}?tlsCAFile=${authority}`;
    expect(await refusal(url, NEW_CLUSTER_MS + AT_ONCE_MS)).toMatch(
      /^sheratan: LOG_DENIED: esdb:\/\/localhost:\d+ refuses access: give SHERATAN_EVENTSTORE_URL a user and password/,
    );
  });

  it('a certificate of an unknown authority, on a cluster', async () => {
    const tls = certificateFor('localhost');
    const first = await standIn({ tls });
    const nodes = [first, await standIn({ tls, store: first.store, role: 'follower' })];
    const hosts = nodes.map(({ port }) => `localhost:${port}`).join(',');
    expect(await refusal(`esdb://${hosts}`)).toMatch(
      /^sheratan: LOG_DENIED: No secure connection to esdb:\/\/.*localhost:\d+: .*; localhost:\d+: /,
    );
  });

  it('a file that is no certificate', async () => {
    expect(await refusal('esdb://localhost,127.0.0.1?tlsCAFile=package.json')).toMatch(
      /^sheratan: SHERATAN_EVENTSTORE_URL: it has tlsCAFile='package.json', which is not a certificate in PEM form/,
    );
  });

  it('a certificate of an unknown authority', async () => {
    const server = await standIn({ tls: certificateFor('localhost') });
    // By its address as well: Node must not print a warning that an address is no server name.
    for (const host of ['localhost', '127.0.0.1'])
      expect(await refusal(`esdb://${host}:${server.port}`)).toMatch(
        /^sheratan: LOG_DENIED: No secure connection to esdb:\/\/[a-z0-9.]+:\d+: give the certificate/,
      );
  });
});
