import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ETYPES } from '../../src/domain/event.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { startHost, type RunningHost } from '../../src/infra/offgrid/host/server.js';
import { Connection, type Row } from '../../src/infra/sqlite/connection.js';
import { sheratan } from '../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { AUTH_KEY } from '../support/offgrid/host.js';
import { LyingHost } from '../support/offgrid/lying-host.js';
import { quiet } from '../support/quiet.js';

const WAIT = { timeout: 120_000, interval: 50 };
const TIMEOUT_MS = 120_000;
/** Addresses at which no host listens. */
const AWAY = [{ url: 'http://127.0.0.1:9' }, { url: 'http://127.0.0.1:10' }];

/** What a stopped core left once both hosts had signed for all of it, and the rows of its log. */
let template: string;
let rows: Row[];
let hosts: RunningHost[] = [];

function replicating(to: readonly { readonly url: string }[]): Record<string, string> {
  return {
    OFFGRID_STORAGE_ENABLED: 'true',
    OFFGRID_STORAGE_HOSTS: to.map(({ url }) => url).join(','),
    OFFGRID_AUTH_KEY: AUTH_KEY,
    OFFGRID_REQUIRED_ACKS: '2',
  };
}

async function onFile<R>(path: string, use: (file: Connection) => Promise<R>): Promise<R> {
  const file = await Connection.open(path, 'write');
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function rowsOf(dataDir: string): Promise<Row[]> {
  return onFile(corePaths(dataDir).log, (file) => file.all('SELECT * FROM events ORDER BY position'));
}

/** The number of the last replicated event, and of the last that both hosts have. */
function progressOf(dataDir: string): Promise<Row[]> {
  return onFile(corePaths(dataDir).outbox, (file) => file.all('SELECT head, quorum FROM progress'));
}

async function newMission(core: Sheratan, title: string, description = ''): Promise<string> {
  const input = { title, description };
  const document = `mutation ($input: CreateMissionInput!) {
    createMission(input: $input) { ... on CreateMissionPayload { mission { id } } ... on Problem { message } }
  }`;
  const { createMission: made } = await core.gql(document, { input });
  expect(made).toEqual({ mission: { id: expect.any(String) } });
  return made.mission.id;
}

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'sheratan-repair-'));
  for (const name of ['host-a', 'host-b']) {
    const folder = join(template, name);
    const place = { folder, name, bind: '127.0.0.1', port: 0, authKey: AUTH_KEY };
    const limits = { budgetBytes: 64 * 1024 * 1024, chunkThreshold: 1_024, clock: systemClock, logger: quiet };
    hosts.push(await startHost({ ...place, ...limits }));
  }
  const dataDir = join(template, 'data');
  const core = new Sheratan(['serve'], dataDir, replicating(hosts));
  await core.listening();
  for (let i = 0; i < 12; i += 1) await newMission(core, `Mission ${i}`, 'x'.repeat(i * 300));
  await vi.waitFor(async () => expect(await progressOf(dataDir)).toEqual([{ head: 14, quorum: 14 }]), WAIT);
  await core.stop();
  rows = await rowsOf(dataDir);
}, TIMEOUT_MS);

afterAll(async () => {
  for (const host of hosts) await host.close();
  hosts = [];
  await rm(template, { recursive: true, force: true });
});

/** A copy of what that core left. */
async function stoppedCore(): Promise<string> {
  const dataDir = await newDataDir();
  await cp(join(template, 'data'), dataDir, { recursive: true });
  return dataDir;
}

function damage(dataDir: string, ...statements: readonly string[]): Promise<void> {
  return onFile(corePaths(dataDir).log, async (file) => {
    for (const sql of statements) expect(await file.run(sql), sql).toMatchObject({ changes: 1 });
  });
}

/** Flips one bit of a file at the place of a text. */
async function flipAt(path: string, text: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.indexOf(text);
  expect(at).toBeGreaterThan(0);
  bytes[at + 3] = bytes[at + 3]! ^ 1;
  await writeFile(path, bytes);
}

/** @param to the hosts that are asked; by default those that the core knows */
function repair(dataDir: string, to?: readonly { readonly url: string }[]) {
  const given = to === undefined ? [] : ['--hosts', to.map(({ url }) => url).join(',')];
  return sheratan(['restore', '--repair', ...given], dataDir, replicating(hosts));
}

/** The positions of events of a type. */
function positionsOf(type: string): number[] {
  return rows.filter((row) => row['type'] === type).map(({ position }) => Number(position));
}

/** The number of the replicated event at a position. */
function sequenceOf(position: number): number {
  return rows.filter((row) => Number(row['position']) <= position && row['etype'] !== ETYPES.ReplicasAcknowledged)
    .length;
}

/** States that a log is unchanged and that the read models match it. */
async function expectAsBefore(dataDir: string): Promise<void> {
  expect(await rowsOf(dataDir)).toEqual(rows);
  const verified = await sheratan(['verify'], dataDir);
  expect(verified.output.filter((line) => line.includes('equal at position'))).toHaveLength(2);
  expect(verified).toMatchObject({ code: 0, errors: [] });
}

describe('sheratan restore --repair', () => {
  it('restores, byte for byte, what was flipped in any column and what is missing, and names host and place', async () => {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0] = positionsOf('MissionCreated');
    const [key = 0] = positionsOf('KeyRotated');
    const dataDir = await stoppedCore();
    await damage(
      dataDir,
      `UPDATE events_1 SET data = replace(data, 'Mission', 'Nission') WHERE position = ${a}`,
      `UPDATE events_1 SET metadata = replace(metadata, 'at', 'au') WHERE position = ${b}`,
      `UPDATE events_1 SET stream = 'mission-elsewhere' WHERE position = ${c}`,
      `UPDATE events_1 SET etype = 22 WHERE position = ${d}`,
      `UPDATE events_1 SET type = 'MissionCreatee' WHERE position = ${e}`,
      `UPDATE events_1 SET checksum = checksum + 1 WHERE position = ${f}`,
      `DELETE FROM events_1 WHERE position = ${g}`,
      `UPDATE events_1 SET data = '{}' WHERE position = ${key}`,
    );
    const { code, output, errors } = await repair(dataDir);
    expect(errors).toEqual([]);
    expect(code).toBe(0);
    expect(output).toHaveLength(8 + 5);
    const place = `position ${a} (revision 0 of '${String(rows[a - 1]!['stream'])}')`;
    const what = `${place}: MissionCreated, event ${sequenceOf(a)}, from `;
    const givers = hosts.map(({ url, identity }) => `${what}${url} (${identity.id})`);
    expect(output.filter((line) => givers.includes(line))).toHaveLength(1);
    expect(output.at(-5)).toBe(`8 events repaired; ${rows.length} events read and found intact`);
    expect(output.at(-1)).toBe('Verify the read models: sheratan verify');
    // No host knows when a missing row was recorded: the time of its event is used.
    const { metadata } = rows[g - 1]!;
    const { at } = JSON.parse(String(metadata)) as { at: string };
    const after = await rowsOf(dataDir);
    expect(after[g - 1]).toMatchObject({ ...rows[g - 1], recorded_at: at, checksum: expect.any(Number) });
    expect(after.filter((_, i) => i !== g - 1)).toEqual(rows.filter((_, i) => i !== g - 1));
    expect(await sheratan(['verify'], dataDir)).toMatchObject({ code: 0, errors: [] });

    const again = await repair(dataDir);
    expect(again).toMatchObject({ code: 0, errors: [] });
    expect(again.output).toEqual([expect.stringMatching(/is intact up to position \d+: there is nothing to repair$/)]);
  });

  it('repairs bits flipped in the file itself, which damage its index too, even without an outbox.db', async () => {
    const dataDir = await stoppedCore();
    const { log, outbox } = corePaths(dataDir);
    const [first = 0, , third = 0] = positionsOf('MissionCreated');
    await rm(outbox);
    await damage(dataDir, `DELETE FROM events_1 WHERE position = ${third}`);
    await flipAt(log, String(rows[first - 1]!['stream']));
    const broken = await sheratan(['export'], dataDir);
    expect(broken.errors).toEqual([expect.stringMatching(/^sheratan: LOG_CORRUPT: .*sheratan restore --repair/)]);
    expect(await repair(dataDir)).toMatchObject({ code: 0, errors: [] });
    const without = (all: Row[]) => all.map(({ recorded_at: _, checksum: __, ...row }) => row);
    expect(without(await rowsOf(dataDir))).toEqual(without(rows));
    expect(await sheratan(['export', '/dev/null'], dataDir)).toMatchObject({ code: 0 });
  });

  it.each([
    ['gives other contents', 'wrongContents', 'does not give all of the events'],
    ['reports each event as damaged', 'withheld', 'does not give all of the events'],
    ['answers without its HMAC', 'withoutHmac', 'or has another OFFGRID_AUTH_KEY'],
  ] as const)(
    'names a host that %s, and takes from another host what it does not give',
    async (_what, lie, message) => {
      const dataDir = await stoppedCore();
      const [position = 0] = positionsOf('MissionCreated');
      await damage(dataDir, `UPDATE events_1 SET data = '{}' WHERE position = ${position}`);
      const liar = await LyingHost.of(hosts[0]!, lie);
      const { code, output, errors } = await repair(dataDir, [liar, hosts[1]!]);
      expect(errors).toEqual([expect.stringContaining(liar.url)]);
      expect(errors[0]).toContain(message);
      // None of this is signed by the host as proof against itself.
      expect(errors[0]).not.toContain('dishonest');
      expect(output[0]).toContain(`event ${sequenceOf(position)}, from ${hosts[1]!.url} (${hosts[1]!.identity.id})`);
      expect(code).toBe(0);
      await expectAsBefore(dataDir);
    },
  );

  it('changes nothing when no host can be reached, and reports which events it could not get', async () => {
    const dataDir = await stoppedCore();
    const [position = 0] = positionsOf('MissionCreated');
    await damage(dataDir, `UPDATE events_1 SET data = '{}' WHERE position = ${position}`);
    const before = await rowsOf(dataDir);
    const { code, output, errors } = await repair(dataDir, AWAY);
    expect({ code, output }).toEqual({ code: 1, output: [] });
    expect(errors.at(-1)).toContain(
      `No host gives back the events at these positions: ${position}. Nothing was changed.`,
    );
    expect(await rowsOf(dataDir)).toEqual(before);
    expect(await repair(dataDir)).toMatchObject({ code: 0 });
    await expectAsBefore(dataDir);
  });

  it.each([
    ['local events', 0],
    ['the last event, which read models are compared with', -1],
  ])('keeps the place of %s, and reports that their content is lost', async (_, which) => {
    const dataDir = await stoppedCore();
    const position = positionsOf('ReplicasAcknowledged').at(which) ?? 0;
    if (which < 0) expect(position).toBe(rows.length);
    await damage(dataDir, `UPDATE events_1 SET data = '{}', stream = 'x' WHERE position = ${position}`);
    const { code, output, errors } = await repair(dataDir, AWAY);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(output).toContainEqual(expect.stringContaining('`sheratan replay outbox`'));
    const { stream, revision } = rows[position - 1]!;
    expect(output[0]).toMatch(new RegExp(`^position ${position} .*'${String(stream)}'\\): emptied`));
    const emptied = { stream, revision, type: '$truncated', etype: 0, data: '', metadata: '', checksum: 0 };
    expect((await rowsOf(dataDir))[position - 1]).toMatchObject(emptied);
    expect(await sheratan(['replay', 'outbox'], dataDir)).toMatchObject({ code: 0, errors: [] });
    expect(await sheratan(['verify'], dataDir)).toMatchObject({ code: 0, errors: [] });
  });

  it('is refused while the core runs, and where SQLite cannot read the file at all', async () => {
    const dataDir = await stoppedCore();
    const core = await Sheratan.serve(dataDir, replicating(hosts));
    const refused = await repair(dataDir);
    expect(refused).toMatchObject({ code: 78, output: [] });
    expect(refused.errors).toEqual([expect.stringMatching(/^sheratan: A core runs on .*Stop it/)]);
    await core.stop();

    const { log } = corePaths(dataDir);
    await writeFile(log, Buffer.alloc((await stat(log)).size, 'no database'));
    const hopeless = await repair(dataDir);
    expect(hopeless).toMatchObject({ code: 1, output: [] });
    expect(hopeless.errors).toEqual([
      expect.stringMatching(/SQLite itself cannot read .*empty folder.*sheratan restore/),
    ]);
  });
});

describe('sheratan export --unreplicated', () => {
  it('saves only what follows the last event that a quorum has signed for, and --rebase imports it elsewhere', async () => {
    const dataDir = await stoppedCore();
    const core = await Sheratan.serve(dataDir, { ...replicating(hosts), OFFGRID_AUTH_KEY: 'not theirs' });
    const ids = [await newMission(core, 'Not shipped'), await newMission(core, 'Nor this')];
    const file = join(dataDir, 'unreplicated.ndjson');
    const running = await sheratan(['export', '--unreplicated', file], dataDir);
    expect(running.errors[0]).toMatch(/^2 events of missions, tasks and jobs after position \d+, which no quorum has/);
    await core.kill();
    expect(await sheratan(['export', '--unreplicated', file], dataDir)).toMatchObject({ code: 0 });
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { stream: string }).stream)).toEqual(
      ids.map((id) => `mission-${id}`),
    );

    const elsewhere = await stoppedCore();
    const other = await Sheratan.serve(elsewhere);
    const taken = await sheratan(['import', '--rebase', file], elsewhere);
    expect(taken).toMatchObject({ code: 0, errors: [] });
    expect(taken.output[0]).toBe('unreplicated.ndjson: 2 read, 2 added, 0 already present, 0 refused');
    const again = await sheratan(['import', '--rebase', file], elsewhere);
    expect(again.output[0]).toBe('unreplicated.ndjson: 2 read, 0 added, 2 already present, 0 refused');
    const { mission } = await other.gql('query ($id: ID!) { mission(id: $id) { title } }', { id: ids[0] });
    expect(mission).toEqual({ title: 'Not shipped' });
  });

  it('saves everything where there is no outbox.db', async () => {
    const dataDir = await stoppedCore();
    await rm(corePaths(dataDir).outbox);
    const { errors } = await sheratan(['export', '--unreplicated', '/dev/null'], dataDir);
    expect(errors[0]).toMatch(/^12 events of missions, tasks and jobs after position 0,/);
  });
});
