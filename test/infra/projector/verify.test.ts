import fc from 'fast-check';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ProjectionFile } from '../../../src/infra/projector/projection-file.js';
import { verify } from '../../../src/infra/projector/verify.js';
import { SqliteError } from '../../../src/infra/sqlite/connection.js';
import { missions } from '../../../src/projections/missions.js';
import { history } from '../../projections/histories.js';
import { append, newFolder, newLog, Running, tally, tamper } from './support.js';

const STREAMS = ['mission-a', 'mission-b', 'mission-c'];

/** A stopped projection of three missions: two with five events and one with three. */
async function stopped(): Promise<Running> {
  const running = await Running.begin();
  for (const [stream, count] of [
    ['mission-a', 5],
    ['mission-b', 5],
    ['mission-c', 3],
  ] as const) {
    await append(running.log, count, [stream]);
  }
  await running.caughtUp();
  await running.stop();
  return running;
}

const verifyTally = async (running: Running, projection = tally()) =>
  verify(running.path, projection, running.log, await newFolder());

describe('a verification', () => {
  it('of a projection that agrees with the log finds the digests equal', async () => {
    const running = await stopped();
    const result = await verifyTally(running);
    expect(result).toMatchObject({ projection: 'tally', position: 13n, events: 13, skipped: 0 });
    expect(result.storedDigest).toMatch(/^[0-9a-f]{64}$/);
    expect(result.replayedDigest).toBe(result.storedDigest);
    expect(result).not.toHaveProperty('difference');
  });

  it('agrees with the digest that the projector reports', async () => {
    const running = await stopped();
    await running.start(tally());
    const { digest, position } = await running.projector.digest();
    expect(await verifyTally(running)).toMatchObject({ storedDigest: digest, position });
  });

  it('of a projection that has folded nothing is equal', async () => {
    const running = await Running.begin();
    const result = await verifyTally(running);
    expect(result).toMatchObject({ position: 0n, events: 0 });
    expect(result.replayedDigest).toBe(result.storedDigest);
  });

  it('covers what the projection has folded, even when the log is longer by now', async () => {
    const running = await stopped();
    await append(running.log, 20);
    const result = await verifyTally(running);
    expect(result.position).toBe(13n);
    expect(result.replayedDigest).toBe(result.storedDigest);
  });

  it('reports its progress', async () => {
    const running = await Running.begin();
    await append(running.log, 6_000, STREAMS);
    await running.caughtUp();
    const reported: (readonly [bigint, bigint])[] = [];
    await verify(running.path, tally(), running.log, await newFolder(), (position, until) => {
      reported.push([position, until]);
    });
    expect(reported).toEqual([
      [5_000n, 6_000n],
      [6_000n, 6_000n],
    ]);
  });

  it('works while the projector writes, and changes nothing of it', async () => {
    const running = await Running.begin();
    await append(running.log, 1_000, STREAMS);
    let writing = true;
    let appended = 0n;
    const work = (async () => {
      while (writing) {
        appended = await append(running.log, 50, STREAMS);
        await running.caughtUp();
      }
    })();
    const positions: bigint[] = [];
    for (let i = 0; i < 4; i += 1) {
      const result = await verifyTally(running);
      expect(result.replayedDigest).toBe(result.storedDigest);
      positions.push(result.position);
      // Waits for a further commit, so that the next verification covers more events.
      expect(await running.projector.reaches(result.position + 1n, 20_000)).toBe(true);
    }
    writing = false;
    await work;
    expect(new Set(positions).size).toBe(4);
    expect(BigInt(await running.total())).toBe(appended);
  });

  it('works while the projection is rebuilt', async () => {
    const running = await Running.begin();
    await append(running.log, 6_000, STREAMS);
    await running.caughtUp();
    running.projector.rebuild();
    const result = await verifyTally(running);
    expect(result.replayedDigest).toBe(result.storedDigest);
    await running.projector.rebuilt();
  });

  it('of missions, tasks and jobs is equal after any history', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ events }) => {
        const log = await newLog();
        for (const { stream, id, type, data, metadata } of events) {
          await log.append(stream, [{ id, type, data, metadata }], 'any');
        }
        const running = await Running.begin(missions, log);
        await running.caughtUp();
        const result = await verify(running.path, missions, log, await newFolder());
        expect(result.events).toBe(events.length);
        expect(result.replayedDigest).toBe(result.storedDigest);
        await running.stop();
      }),
      { numRuns: 5 },
    );
  });
});

describe('a verification of a projection that was tampered with', () => {
  it.each([
    [
      'a changed value: its table, key, column and both values',
      "UPDATE tallies SET last = 'forged' WHERE id = 'mission-b'",
      { key: 'mission-b', column: 'last', stored: 'forged', replayed: '5' },
    ],
    [
      'a changed number',
      "UPDATE tallies SET count = 6 WHERE id = 'mission-a'",
      { key: 'mission-a', column: 'count', stored: 6, replayed: 5 },
    ],
    [
      'a row too many',
      "INSERT INTO tallies VALUES ('mission-aa', 9, 'x', 1)",
      { key: 'mission-aa', column: null, stored: { id: 'mission-aa', count: 9, last: 'x' }, replayed: null },
    ],
    [
      'a row too many at the end',
      "INSERT INTO tallies VALUES ('mission-d', 9, 'x', 1)",
      { key: 'mission-d', column: null, stored: { id: 'mission-d', count: 9, last: 'x' }, replayed: null },
    ],
    [
      'a missing row',
      "DELETE FROM tallies WHERE id = 'mission-a'",
      { key: 'mission-a', column: null, stored: null, replayed: { id: 'mission-a', count: 5, last: '5' } },
    ],
    [
      'a missing row at the end',
      "DELETE FROM tallies WHERE id = 'mission-c'",
      { key: 'mission-c', column: null, stored: null, replayed: { id: 'mission-c', count: 3, last: '3' } },
    ],
    [
      'the first of several, in the order of keys',
      "UPDATE tallies SET last = id WHERE id IN ('mission-c', 'mission-b')",
      { key: 'mission-b', column: 'last', stored: 'mission-b', replayed: '5' },
    ],
  ])('names %s', async (_, sql, difference) => {
    const running = await stopped();
    await tamper(running.path, sql);
    const result = await verifyTally(running);
    expect(result.difference).toEqual({ table: 'tallies', ...difference });
    expect(result.replayedDigest).not.toBe(result.storedDigest);
  });

  it('finds a checkpoint that was lowered', async () => {
    const running = await stopped();
    await tamper(running.path, 'UPDATE generations SET position = 12');
    const { difference } = await verifyTally(running);
    expect(difference).toEqual({ table: 'tallies', key: 'mission-c', column: 'count', stored: 3, replayed: 2 });
  });

  it('ignores positions, which belong to this copy of the log', async () => {
    const running = await stopped();
    await tamper(running.path, 'UPDATE tallies SET position = 1');
    const result = await verifyTally(running);
    expect(result.replayedDigest).toBe(result.storedDigest);
  });

  it('succeeds after a rebuild', async () => {
    const running = await stopped();
    await tamper(running.path, "UPDATE tallies SET last = 'forged'");
    await running.start(tally());
    running.projector.rebuild();
    await running.projector.rebuilt();
    const result = await verifyTally(running);
    expect(result.replayedDigest).toBe(result.storedDigest);
  });
});

describe('a verification is refused', () => {
  it('for a projection of another log', async () => {
    const running = await stopped();
    const other = await newLog();
    await expect(verify(running.path, tally(), other, await newFolder())).rejects.toMatchObject({
      name: 'ProjectionError',
      code: 'FOREIGN_LOG',
      message: expect.stringContaining(
        `${running.path} was built from log ${running.log.logId}; this is log ${other.logId}.`,
      ),
    });
  });

  it('for a projection of another version', async () => {
    const running = await stopped();
    await expect(verifyTally(running, tally({ version: 2 }))).rejects.toMatchObject({
      code: 'PROJECTION_BUSY',
      message: expect.stringContaining('has version 1 and waits to be rebuilt as version 2'),
    });
  });

  it('for a projection beyond the end of the log', async () => {
    const running = await stopped();
    await tamper(running.path, 'UPDATE generations SET position = 14');
    await expect(verifyTally(running)).rejects.toMatchObject({ code: 'CHECKPOINT_BEYOND_HEAD' });
  });

  it('for a file that is not a database', async () => {
    const running = await stopped();
    const path = join(await newFolder(), 'tally.db');
    await writeFile(path, 'x'.repeat(8_192));
    await expect(verify(path, tally(), running.log, await newFolder())).rejects.toMatchObject({
      code: 'PROJECTION_DAMAGED',
    });
  });

  it('for a file without a projection', async () => {
    const running = await stopped();
    const path = join(await newFolder(), 'tally.db');
    await (await ProjectionFile.open(path, tally())).close();
    await expect(verify(path, tally(), running.log, await newFolder())).rejects.toMatchObject({
      code: 'PROJECTION_DAMAGED',
      message: `${path} holds no projection.`,
    });
  });

  it('for a file that does not exist', async () => {
    const running = await stopped();
    const verifying = verify(join(await newFolder(), 'none.db'), tally(), running.log, await newFolder());
    await expect(verifying).rejects.toBeInstanceOf(SqliteError);
  });
});

describe('the scratch folder of a verification', () => {
  it('is empty again afterwards', async () => {
    const running = await stopped();
    const scratch = await newFolder();
    await verify(running.path, tally(), running.log, scratch);
    expect(await readdir(scratch)).toEqual([]);
  });

  it('is empty again after a refusal', async () => {
    const running = await stopped();
    const scratch = await newFolder();
    await expect(verify(running.path, tally({ version: 2 }), running.log, scratch)).rejects.toThrow();
    expect(await readdir(scratch)).toEqual([]);
  });

  it('is empty again after a replay in which a handler threw', async () => {
    const running = await stopped();
    const scratch = await newFolder();
    const broken = tally({
      onFold: ({ position }) => {
        if (position === 7n) throw new Error('cannot fold this');
      },
    });
    await expect(verify(running.path, broken, running.log, scratch)).rejects.toThrow('cannot fold this');
    expect(await readdir(scratch)).toEqual([]);
  });
});
