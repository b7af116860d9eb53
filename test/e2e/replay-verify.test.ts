import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { ProcessLock } from '../../src/infra/sqlite/process-lock.js';
import { Connection, type Row } from '../../src/infra/sqlite/connection.js';
import { dataDirOf, history, sheratan, withLogOf } from '../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { newEvent } from '../support/events.js';
import { quietPort } from '../support/ports.js';

const DIGEST = /^digest [0-9a-f]{64}$/;

/** Makes a data folder with a log and its read model; returns the folder and the digest. */
async function replayed(): Promise<{ dataDir: string; digest: string }> {
  const dataDir = await dataDirOf(history(3, 3));
  const { code, output, errors } = await sheratan(['replay'], dataDir);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  expect(output).toEqual([
    expect.stringMatching(/^missions: replayed up to [0-9a-z]{6}:51 in \d+\.\d s$/),
    expect.stringMatching(DIGEST),
  ]);
  return { dataDir, digest: output[1]! };
}

/** Runs SQL on a folder's read model. */
async function sql(dataDir: string, statement: string): Promise<Row[]> {
  const file = await Connection.open(corePaths(dataDir).missions, 'write');
  const rows = await file.all(statement);
  await file.close();
  return rows;
}

const slots = async (dataDir: string) => sql(dataDir, 'SELECT slot, number FROM generations ORDER BY slot');

describe('sheratan verify', () => {
  it('prints the digest when the read model matches the log', async () => {
    const { dataDir, digest } = await replayed();
    const { code, output, errors } = await sheratan(['verify'], dataDir);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(output).toEqual(['missions: equal at position 51 after 51 events', digest]);
  });

  it.each([
    [
      "UPDATE missions SET title = 'Mission x' WHERE id = 'm1'",
      "missions 'm1', column title",
      '"Mission x"',
      '"Mission m1"',
    ],
    ["UPDATE jobs SET status = 'PENDING' WHERE id = 'j2-2'", "jobs 'j2-2', column status", '"PENDING"', '"FAILED"'],
    ["DELETE FROM tasks WHERE id = 't4'", "tasks 't4'", 'null', expect.stringContaining('"id":"t4"')],
  ])('finds what was tampered with (%s), and states how to correct it', async (statement, place, stored, rebuilt) => {
    const { dataDir, digest } = await replayed();
    await sql(dataDir, statement);
    const { code, output, errors } = await sheratan(['verify'], dataDir);
    expect({ code, errors }).toEqual({ code: 1, errors: [] });
    expect(output).toHaveLength(5);
    expect(output[0]).toBe(`missions: DIFFERS at position 51: first at ${place}`);
    expect(output[1]!.replace(/^ {2}stored {4}/, '')).toEqual(stored);
    expect(output[2]!.replace(/^ {2}replayed {2}/, '')).toEqual(rebuilt);
    expect(output[3]).toMatch(/^ {2}digests {3}[0-9a-f]{64} \(stored\), [0-9a-f]{64} \(replayed\)$/);
    expect(output[3]).toContain(digest.split(' ')[1]);
    expect(output[4]).toBe('Rebuild it from the log: sheratan replay missions');

    expect((await sheratan(['replay', 'missions'], dataDir)).output[1]).toBe(digest);
    expect(await sheratan(['verify'], dataDir)).toMatchObject({ code: 0 });
  });

  it('reports when there is nothing to verify', async () => {
    const { code, output, errors } = await sheratan(['verify'], await dataDirOf({ missions: [] }));
    expect({ code, output }).toEqual({ code: 78, output: [] });
    expect(errors).toEqual([expect.stringMatching(/^sheratan: There is no .*missions\.db\. Run `sheratan replay`/)]);
  });
});

describe('sheratan replay', () => {
  it('builds beside the live tables and keeps the previous ones, except with --prune', async () => {
    const { dataDir, digest } = await replayed();
    expect(await slots(dataDir)).toEqual([{ slot: 'live', number: 1 }]);
    expect((await sheratan(['replay'], dataDir)).output[1]).toBe(digest);
    expect(await slots(dataDir)).toEqual([
      { slot: 'live', number: 2 },
      { slot: 'prev', number: 1 },
    ]);
    expect((await sheratan(['replay', '--prune'], dataDir)).output[1]).toBe(digest);
    expect(await slots(dataDir)).toEqual([{ slot: 'live', number: 3 }]);
  });

  it('refuses a read model of another log, states what to do, and begins again with --reset', async () => {
    const { dataDir, digest } = await replayed();
    await sql(dataDir, "UPDATE generations SET log_id = 'zzzzzz'");
    const refused = await sheratan(['replay'], dataDir);
    expect(refused).toMatchObject({ code: 78, output: [] });
    expect(refused.errors).toEqual([
      expect.stringMatching(/^sheratan: FOREIGN_LOG: .*built from log zzzzzz.*`sheratan replay missions --reset`/),
    ]);
    expect((await sheratan(['replay', 'missions', '--reset'], dataDir)).output[1]).toBe(digest);
    expect(await slots(dataDir)).toEqual([{ slot: 'live', number: 1 }]);
  });

  it('names the existing projections when it is asked for another', async () => {
    const { code, errors } = await sheratan(['replay', 'inbox'], await newDataDir());
    expect(code).toBe(78);
    expect(errors).toEqual(["sheratan: There is no projection 'inbox'. Name one of: missions, outbox."]);
  });

  it('reports when there is no log, and makes no file', async () => {
    const dataDir = join(await newDataDir(), 'data');
    const { code, errors } = await sheratan(['replay'], dataDir);
    expect(code).toBe(78);
    expect(errors).toEqual([expect.stringMatching(/^sheratan: There is no log at .*log\.db\. Set SHERATAN_DATA_DIR/)]);
    expect(await sheratan(['verify'], dataDir)).toMatchObject({ code: 78 });
  });

  it('ends at an event it cannot fold, naming it', async () => {
    const dataDir = await dataDirOf(history(1, 0));
    const event = newEvent({ data: { missionId: 'odd', title: 'Of no mission' } });
    await withLogOf(dataDir, (log) => log.append('mission-odd', [event], 'no-stream'));
    const { code, output, errors } = await sheratan(['replay'], dataDir);
    expect({ code, output }).toEqual({ code: 78, output: [] });
    expect(errors).toEqual([
      expect.stringMatching(new RegExp(`^sheratan: missions halted at position 4 \\(MissionUpdated ${event.id}\\): `)),
    ]);
  });
});

describe('beside a running core', () => {
  it('replay is done by that core, which continues to answer; verify confirms the result', async () => {
    const { dataDir, digest } = await replayed();
    const core = await Sheratan.serve(dataDir);
    const { code, output, errors } = await sheratan(['replay'], dataDir);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(output).toEqual(['missions: replayed by the running core up to 51', digest]);
    expect(await core.projection()).toMatchObject({ state: 'LIVE', generation: 2 });
    expect((await sheratan(['verify'], dataDir)).output).toEqual([
      'missions: equal at position 51 after 51 events',
      digest,
      'outbox: equal at position 51 after 51 events',
      expect.stringMatching(/^digest [0-9a-f]{64}$/),
    ]);

    for (const option of ['--reset', '--prune']) {
      const refused = await sheratan(['replay', option], dataDir);
      expect(refused).toMatchObject({ code: 78, output: [] });
      expect(refused.errors).toEqual([
        'sheratan: A core runs on this data folder. Stop it before you use --reset or --prune.',
      ]);
    }
    await core.stop();
    expect(await slots(dataDir)).toMatchObject([{ slot: 'live', number: 2 }, { slot: 'prev' }]);
  });

  it('replay sends an operator token where tokens are required, and reports when it has none', async () => {
    const { dataDir, digest } = await replayed();
    const [viewer, operator] = [`viewer-${'v'.repeat(16)}`, `operator-${'o'.repeat(16)}`];
    await Sheratan.serve(dataDir, { SHERATAN_API_TOKENS: `${viewer}:viewer,${operator}:operator` });
    const [allowed, refused] = await Promise.all([
      sheratan(['replay'], dataDir, { SHERATAN_API_TOKENS: `${operator}:operator` }),
      sheratan(['replay'], dataDir, { SHERATAN_API_TOKENS: `${viewer}:viewer` }),
    ]);
    expect(allowed.output).toEqual(['missions: replayed by the running core up to 51', digest]);
    expect(refused).toMatchObject({ code: 78, output: [] });
    expect(refused.errors).toEqual([expect.stringMatching(/^sheratan: The core at http\S+ refused: /)]);
  });

  it('replay uses no core of another folder that listens where a killed core of this folder did', async () => {
    const [{ dataDir }, { dataDir: other }] = [await replayed(), await replayed()];
    const port = String(await quietPort());
    const core = await Sheratan.serve(dataDir, { SHERATAN_PORT: port });
    await core.kill();
    const otherCore = await Sheratan.serve(other, { SHERATAN_PORT: port });
    const lock = await ProcessLock.take(corePaths(dataDir).missionsLock);
    const refused = await sheratan(['replay'], dataDir);
    await lock?.release();
    expect(refused).toMatchObject({ code: 78, output: [] });
    expect(refused.errors).toEqual([
      expect.stringMatching(/^sheratan: The core at http\S+ runs on another data folder\. .* Try again in a moment\.$/),
    ]);
    expect(await otherCore.projection()).toMatchObject({ state: 'LIVE', generation: 1 });
  });
});
