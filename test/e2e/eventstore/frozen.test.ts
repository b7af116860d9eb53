import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newDataDir, Sheratan } from '../../support/core.js';
import { certificateFor } from '../../support/eventstore/certificates.js';
import type { StandIn } from '../../support/eventstore/stand-in.js';
import { startStandIn } from '../../support/log-server.js';
import { quietPort } from '../../support/ports.js';
import { socketsOf } from '../../support/sockets.js';

const FORWARDER = fileURLToPath(new URL('../../support/eventstore/forwarder.mjs', import.meta.url));
/** How long a process may take to notice that its server is frozen, or is back. */
const WAIT = { timeout: 60_000 };
/** How long a process may take to stop, whatever hangs, in milliseconds. */
const STOP_MS = 10_000;
/** How long the sockets of a core are counted, in milliseconds: some twenty attempts to connect. */
const COUNT_MS = 20_000;

/** A process that stands between a core and a node. */
async function startForwarder(port: number): Promise<{ readonly port: number; readonly process: ChildProcess }> {
  const child = spawn(process.execPath, [FORWARDER, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { port: Number(line), process: child };
}

/** A cluster of two nodes with TLS, each behind a process that can be frozen. */
async function startCluster() {
  const tls = certificateFor('localhost');
  const forwarders: ChildProcess[] = [];
  const nodes: StandIn[] = [];
  const ports: number[] = [];
  for (const role of ['leader', 'follower'] as const) {
    const port = await quietPort();
    const forwarder = await startForwarder(port);
    forwarders.push(forwarder.process);
    ports.push(forwarder.port);
    const [first] = nodes;
    const advertised = { host: 'localhost', port: forwarder.port };
    const node = await startStandIn({ tls, port, advertised, role, ...(first && { store: first.store }) });
    onTestFinished(() => node.stop());
    nodes.push(node);
  }
  const hosts = ports.map((port) => `localhost:${port}`).join(',');
  const signal = (name: NodeJS.Signals) => forwarders.forEach((forwarder) => forwarder.kill(name));
  return {
    url: `esdb://${hosts}?tlsCAFile=${encodeURIComponent(tls.authorityFile)}`,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
  };
}

const CREATE = 'mutation { createMission(input: { title: "T" }) { __typename } }';

describe('a cluster whose nodes are frozen', () => {
  it('costs a core no sockets, and is used again when they are thawed', async () => {
    const { url, freeze, thaw } = await startCluster();
    const core = await Sheratan.serve(await newDataDir(), { SHERATAN_EVENTSTORE_URL: url });
    await core.gql(CREATE);
    const before = await socketsOf(core.pid);
    freeze();
    const refused = await core.ask(CREATE);
    expect(refused.errors).toMatchObject([{ extensions: { code: 'LOG_UNAVAILABLE' } }]);
    const metrics = await fetch(`${core.url}/metrics`);
    expect(metrics.status).toBe(200);
    expect(await metrics.text()).toContain('\nsheratan_log_reached 0\n');

    const counts: number[] = [];
    const until = performance.now() + COUNT_MS;
    while (performance.now() < until) {
      counts.push(await socketsOf(core.pid));
      await delay(500);
    }
    // Each node has at most a connection that is being made, one that is asked for its cluster, and one that is closing.
    expect(Math.max(...counts), counts.join(' ')).toBeLessThanOrEqual(before + 6);

    thaw();
    await expect.poll(async () => (await core.ask(CREATE)).errors, WAIT).toBeUndefined();
    await expect.poll(() => socketsOf(core.pid), WAIT).toBeLessThanOrEqual(before + 2);
  });

  it('does not keep a core or a command from ending', async () => {
    const { url, freeze } = await startCluster();
    const dataDir = await newDataDir();
    const core = await Sheratan.serve(dataDir, { SHERATAN_EVENTSTORE_URL: url });
    await core.gql(CREATE);
    freeze();
    await core.ask(CREATE);
    const startedAt = performance.now();
    const exporting = Sheratan.run(['export'], dataDir, { SHERATAN_EVENTSTORE_URL: url });
    const stoppedAt = performance.now();
    expect(await core.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - stoppedAt).toBeLessThan(STOP_MS);
    const { code, errors } = await exporting;
    expect(code).toBe(78);
    expect(errors.at(-1)).toMatch(/^sheratan: LOG_UNAVAILABLE: esdb:\/\/localhost/);
    // It tries for ten seconds.
    expect(performance.now() - startedAt).toBeLessThan(10_000 + 2 * STOP_MS);
  });
});
