import fc from 'fast-check';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RecordedEvent } from '../../../src/domain/event.js';
import type { EventBatch } from '../../../src/infra/eventlog/eventlog.js';
import { FoldError, BatchFolder } from '../../../src/infra/projector/batch-folder.js';
import { follow, type FollowDependencies, type Progress } from '../../../src/infra/projector/follow.js';
import { loadRows, selectList, fromStored } from '../../../src/infra/projector/generation.js';
import { ProjectionFile } from '../../../src/infra/projector/projection-file.js';
import { missions } from '../../../src/projections/missions.js';
import type { AnyRow, Projection } from '../../../src/projections/projection.js';
import { metadata } from '../../domain/support.js';
import { cut, cuts, history } from '../../projections/histories.js';
import { foldBatches } from '../../projections/support.js';
import { newFolder, tally } from './support.js';

const STREAM = 'mission-a';
const small = fc.integer({ min: 0, max: 3 });
const NONE: readonly bigint[] = [];

/** Events of one stream, at positions 10, 20, 30 … */
function updates(count: number, from = 0): RecordedEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    type: 'MissionUpdated',
    data: { title: String(from + i + 1) },
    metadata: metadata(0),
    id: String(from + i),
    stream: STREAM,
    revision: BigInt(from + i),
    position: BigInt(from + i + 1) * 10n,
    etype: 11,
    recordedAt: '',
  }));
}

function batch(events: readonly RecordedEvent[], through = events.at(-1)?.position ?? 0n, live = false): EventBatch {
  return { events, through, live };
}

/** Yields batches, and then waits until the signal is aborted. */
async function* batchesUntil(signal: AbortSignal, ...batches: readonly EventBatch[]): AsyncGenerator<EventBatch> {
  yield* batches;
  if (signal.aborted) return;
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
}

async function newFile(projection: Projection = tally()): Promise<ProjectionFile> {
  const file = await ProjectionFile.open(join(await newFolder(), `${projection.name}.db`), projection);
  onTestFinished(() => file.close());
  await file.createLive('abcdef');
  return file;
}

function folderOver(file: ProjectionFile, maxCachedRows?: number): BatchFolder {
  const { projection } = file;
  const load = (name: string, keys: readonly string[]) =>
    file.read((connection) => loadRows(connection, name, projection.tables[name]!, 'live', keys));
  return new BatchFolder(projection, load, maxCachedRows);
}

async function rowsOf(file: ProjectionFile): Promise<Record<string, readonly AnyRow[]>> {
  const rows: Record<string, AnyRow[]> = {};
  for (const [name, table] of Object.entries(file.projection.tables)) {
    const sql = `SELECT ${selectList(table)} FROM ${name} ORDER BY ${table.key}`;
    const stored = await file.read((connection) => connection.all(sql));
    rows[name] = stored.map((row) => fromStored(table, row));
  }
  return rows;
}

/** Follows, with one batch per commit by default. */
function folding(
  file: ProjectionFile,
  slot: FollowDependencies['slot'],
  folder: BatchFolder,
  batches: AsyncIterable<EventBatch>,
  skipped: readonly bigint[],
  ended: AbortController,
  onCommit: FollowDependencies['onCommit'],
  batchesPerCommit = 1,
): Promise<void> {
  return follow({ file, slot, folder, batches, from: { position: 0n, skipped }, batchesPerCommit, ended, onCommit });
}

describe('following', () => {
  it('commits each batch with its checkpoint, and reports it afterwards', async () => {
    const file = await newFile();
    const ended = new AbortController();
    const reported: Progress[] = [];
    const checkpoints: Promise<bigint | undefined>[] = [];
    const batches = batchesUntil(ended.signal, batch(updates(3)), batch([], 75n), batch(updates(2, 7), 90n, true));
    await folding(file, 'live', folderOver(file), batches, NONE, ended, (progress) => {
      reported.push(progress);
      checkpoints.push(file.generation('live').then((live) => live?.position));
      if (progress.live) ended.abort();
    });
    expect(reported).toEqual([
      { through: 30n, events: 3, live: false },
      { through: 75n, events: 0, live: false },
      { through: 90n, events: 2, live: true },
    ]);
    const read = await Promise.all(checkpoints);
    read.forEach((checkpoint, i) => {
      expect(checkpoint).toBeGreaterThanOrEqual(reported[i]?.through ?? 0n);
    });
    expect(await file.generation('live')).toMatchObject({ position: 90n, events: 5 });
    expect(await rowsOf(file)).toEqual({ tallies: [{ id: STREAM, count: 5, last: '9', position: 90n }] });
  });

  it('commits the given number of batches together, fewer at the end of the log or when the batches end', async () => {
    const file = await newFile();
    const reported: Progress[] = [];
    const source = (async function* () {
      for (let n = 0; n < 5; n += 1) yield batch(updates(1, n));
      yield batch(updates(1, 5), 60n, true);
      yield batch(updates(1, 6));
    })();
    const note = (progress: Progress) => void reported.push(progress);
    await folding(file, 'live', folderOver(file), source, NONE, new AbortController(), note, 3);
    expect(reported).toEqual([
      { through: 30n, events: 3, live: false },
      { through: 60n, events: 3, live: true },
      { through: 70n, events: 1, live: false },
    ]);
    expect(await rowsOf(file)).toEqual({ tallies: [{ id: STREAM, count: 7, last: '7', position: 70n }] });
  });

  it('writes the events before one that cannot be folded, for any number of batches per commit', async () => {
    const broken = tally({
      onFold: ({ position }) => {
        if (position === 50n) throw new Error('cannot fold 50');
      },
    });
    const file = await newFile(broken);
    const ended = new AbortController();
    const source = batchesUntil(ended.signal, batch(updates(3)), batch(updates(3, 3)));
    const following = folding(file, 'live', folderOver(file), source, NONE, ended, () => {}, 10);
    await expect(following).rejects.toBeInstanceOf(FoldError);
    expect(await file.generation('live')).toMatchObject({ position: 40n, events: 4 });
  });

  it('writes the same rows as a fold in memory, for any batches and any cache size', async () => {
    await fc.assert(
      fc.asyncProperty(history, cuts, small, small, async ({ events }, sizes, cacheSize, more) => {
        const folder = await newFolder();
        const file = await ProjectionFile.open(join(folder, 'missions.db'), missions);
        await file.createLive('abcdef');
        const batches = cut(events, sizes).map((each) => batch(each));
        const ended = new AbortController();
        const source = (async function* () {
          yield* batches;
        })();
        await folding(file, 'live', folderOver(file, 1 + cacheSize), source, NONE, ended, () => {}, 1 + more);
        expect(await rowsOf(file)).toEqual(await foldBatches(missions, [events]));
        expect(await file.generation('live')).toMatchObject({
          position: events.at(-1)?.position ?? 0n,
          events: events.length,
        });
        await file.close();
        await rm(join(folder, 'missions.db'));
      }),
      { numRuns: 30 },
    );
  });

  it('skips the given events, and moves its checkpoint past them', async () => {
    const file = await newFile();
    const source = batchesUntil(AbortSignal.abort(), batch(updates(3)));
    await folding(file, 'live', folderOver(file), source, [20n, 30n], new AbortController(), () => {});
    expect(await file.generation('live')).toMatchObject({ position: 30n, events: 1 });
    expect(await rowsOf(file)).toEqual({ tallies: [{ id: STREAM, count: 1, last: '1', position: 10n }] });
  });

  it('throws the error of a handler, after the earlier events are written, and ends the batches', async () => {
    const broken = tally({
      onFold: ({ position }) => {
        if (position === 50n) throw new Error('cannot fold 50');
      },
    });
    const file = await newFile(broken);
    const ended = new AbortController();
    const source = batchesUntil(ended.signal, batch(updates(3)), batch(updates(3, 3)), batch(updates(3, 6)));
    const following = folding(file, 'live', folderOver(file), source, NONE, ended, () => {});
    await expect(following).rejects.toBeInstanceOf(FoldError);
    expect(ended.signal.aborted).toBe(true);
    expect(await file.generation('live')).toMatchObject({ position: 40n, events: 4 });
    expect(await rowsOf(file)).toEqual({ tallies: [{ id: STREAM, count: 4, last: '4', position: 40n }] });
  });

  it('throws the error of a write, and ends the batches, even when no more of them arrive', async () => {
    const file = await newFile();
    const ended = new AbortController();
    const source = batchesUntil(ended.signal, batch(updates(3)));
    // The slot was never created, so it has no tables to write to.
    const following = folding(file, 'next', folderOver(file), source, NONE, ended, () => {});
    await expect(following).rejects.toThrow('no such table: tallies__next');
    expect(ended.signal.aborted).toBe(true);
    expect(await file.generation('live')).toMatchObject({ position: 0n, events: 0 });
  });

  it('throws the error of the batches, after the events that were read are written', async () => {
    const file = await newFile();
    const source = (async function* () {
      yield batch(updates(3));
      throw new Error('the log is gone');
    })();
    const following = folding(file, 'live', folderOver(file), source, NONE, new AbortController(), () => {});
    await expect(following).rejects.toThrow('the log is gone');
    expect(await file.generation('live')).toMatchObject({ position: 30n, events: 3 });
  });
});
