import { chmod, cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished, describe, expect, it } from 'vitest';
import { missions } from '../../src/projections/missions.js';
import { outbox } from '../../src/projections/outbox.js';
import type { Projection } from '../../src/projections/projection.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { Projector } from '../../src/infra/projector/projector.js';
import { digestAt } from '../../src/infra/projector/verify.js';
import { toLine } from '../../src/infra/transfer/exported-event.js';
import { importLog } from '../../src/infra/transfer/import-log.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import type { Untyped } from '../support/node.js';
import { newHost } from '../support/offgrid/host.js';
import { replicating, settled } from '../support/offgrid/machine.js';
import { quiet } from '../support/quiet.js';
import { newLog } from '../infra/projector/support.js';
import { Heard } from '../infra/transfer/support.js';

const GOLDEN = join(import.meta.dirname, '0.1');
/** The longest that a test waits for a projection to be built, in milliseconds. */
const PATIENCE_MS = 20_000;

const expected: Untyped = JSON.parse(await readFile(join(GOLDEN, 'expected.json'), 'utf8'));
const lines = (await readFile(join(GOLDEN, 'log.ndjson'), 'utf8')).trim().split('\n');
const [, missionsDigest = ''] = /^digest (\w+)$/.exec(expected.verified[1]) ?? [];

/** A data folder with copies of the folders that 0.1 left. */
async function copyOf(...names: readonly string[]): Promise<string> {
  const dataDir = await newDataDir();
  for (const name of names) await cp(join(GOLDEN, name), join(dataDir, name), { recursive: true });
  // A checkout does not preserve the modes of secret files.
  if (names.includes('core')) await chmod(corePaths(dataDir).keyring, 0o600);
  return dataDir;
}

async function logIn(dataDir: string): Promise<EmbeddedLog> {
  const log = await EmbeddedLog.open(corePaths(dataDir).log, systemClock);
  onTestFinished(() => log.close());
  return log;
}

/** The rows of a newly built projection of a log, by table. */
async function rowsOf(projection: Projection, log: EventLog): Promise<Untyped> {
  const path = join(await newDataDir(), `${projection.name}.db`);
  const projector = await Projector.open(path, projection, log, quiet);
  try {
    await projector.start();
    expect(await projector.reaches(await log.head(), PATIENCE_MS)).toBe(true);
  } finally {
    await projector.stop();
  }
  const file = await Connection.open(path, 'read');
  try {
    const rows: Record<string, unknown> = {};
    for (const table of Object.keys(projection.tables))
      rows[table] = await file.all(`SELECT * FROM ${table} ORDER BY 1`, []);
    return rows;
  } finally {
    await file.close();
  }
}

describe('a log written by 0.1', () => {
  it('reads the same events that were exported', async () => {
    const log = await logIn(await copyOf('core'));
    expect((await collect(log.readAll())).map(toLine)).toEqual(lines);
  });

  it('folds to the same missions, tasks and jobs as in 0.1', async () => {
    const log = await logIn(await copyOf('core'));
    expect(await rowsOf(missions, log)).toMatchObject(expected.missions);
    expect(await digestAt(await newDataDir(), missions, log, await log.head(), () => undefined)).toBe(missionsDigest);
  });

  it('folds to the same outbox as in 0.1', async () => {
    const log = await logIn(await copyOf('core'));
    // A head of protocol 1 is not valid in protocol 2: only its sequence is kept.
    const hosts = expected.outbox.hosts.map((host: object) => ({ ...host, head: null }));
    expect(await rowsOf(outbox, log)).toMatchObject({ ...expected.outbox, hosts });
  });

  it('is imported completely, with the same digest as in 0.1', async () => {
    const log = await newLog();
    const heard = new Heard();
    const { read, bad } = await importLog(join(GOLDEN, 'log.ndjson'), log, heard);
    expect([read, bad, heard.bad]).toEqual([lines.length, 0, []]);
    expect(await digestAt(await newDataDir(), missions, log, await log.head(), () => undefined)).toBe(missionsDigest);
  });
});

describe('a host’s folder written by 0.1', () => {
  it.each(['host-a', 'host-b'])('is refused with the action to take, and is not changed: %s', async (name) => {
    const dataDir = await copyOf(name);
    const file = join(dataDir, name, 'host.db');
    await chmod(join(dataDir, name, 'identity.pem'), 0o600);
    const before = await readFile(file);
    const env = { OFFGRID_AUTH_KEY: expected.authKey };
    const { code, output, errors } = await Sheratan.run(['host', '--name', name, '--port', '0'], dataDir, env);
    expect([code, output]).toEqual([78, []]);
    expect(errors).toEqual([
      `sheratan: ${file} was written by protocol 1. Move its folder away and start the host with an empty one: a running core ships everything again. To read the file without that core, use the build that wrote it.`,
    ]);
    expect((await readFile(file)).equals(before)).toBe(true);
  });
});

describe('a core’s folder written by 0.1', () => {
  it(
    'is read by this build: new hosts receive everything, and a restore gets it back',
    { timeout: 240_000 },
    async () => {
      const hosts = [await newHost(), await newHost()];
      const urls = hosts.map(({ url, identity }) => `${url}#${identity.id}`);
      const { origin, recoveryKey } = expected;
      const env = { ...replicating(urls), SHERATAN_ORIGIN: origin, OFFGRID_REQUIRED_ACKS: '2' };
      const dataDir = await copyOf('core');
      const core = await Sheratan.serve(dataDir, env);
      expect(await settled(core)).toMatchObject({ stopped: null, refusal: null, unmet: [] });
      expect((await core.live()).digest).toBe(missionsDigest);
      expect(await core.stop()).toMatchObject({ code: 0 });
      const log = await logIn(dataDir);
      const events = await collect(log.readAll());
      expect(events.slice(0, lines.length).map(toLine)).toEqual(lines);
      // The core itself records only events of replication: its hosts, and the heads that they have signed.
      const types = new Set(events.slice(lines.length).map(({ type }) => type));
      expect(types).toEqual(new Set(['ReplicationPolicySet', 'ReplicasAcknowledged']));

      const elsewhere = await newDataDir();
      const args = ['restore', '--hosts', urls.join(',')];
      const restored = await Sheratan.run(args, elsewhere, { ...env, SHERATAN_RECOVERY_KEY: recoveryKey });
      expect([restored.code, restored.errors.filter((line) => !line.startsWith('restore: '))]).toEqual([0, []]);
      expect(restored.output).toContain(`missions      ${missionsDigest}`);
    },
  );
});
