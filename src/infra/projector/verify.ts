import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Projection } from '../../projections/projection.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { Connection } from '../sqlite/connection.js';
import { BatchFolder, type FoldError } from './batch-folder.js';
import { checkCheckpoint } from './checkpoint.js';
import { digestTables, rowsInKeyOrder } from './digest.js';
import { ProjectionError, toProjectionError } from './errors.js';
import { filterOf, follow } from './follow.js';
import { ProjectionFile, readGeneration, type Generation } from './projection-file.js';

/** Events folded at a time. */
const BATCH = 1_000;
/** Batches written by one commit of the shadow. */
const BATCHES_PER_COMMIT = 5;

/** A value that differs between the stored projection and a replay of the log. */
export interface Difference {
  readonly table: string;
  readonly key: string;
  /** The column; null when the row exists on one side only. */
  readonly column: string | null;
  readonly stored: unknown;
  readonly replayed: unknown;
}

/** The result of a verification. */
export interface Verification {
  readonly projection: string;
  readonly position: bigint;
  readonly events: number;
  readonly storedDigest: string;
  readonly replayedDigest: string;
  /** How many events an operator chose to skip; the replay skipped them too. */
  readonly skipped: number;
  /** The first difference in the order of tables and keys, when the digests differ. */
  readonly difference?: Difference;
}

/**
 * Verifies a projection: copies its rows and checkpoint as of one moment, replays the log into a second file up to that
 * checkpoint, and compares the two. A core may be running meanwhile.
 * @param scratch an existing folder with space for two copies; the files created there are removed
 * @throws ProjectionError when the file is damaged, or is not of this log or version
 * @throws FoldError when an event cannot be folded
 */
export async function verify(
  path: string,
  projection: Projection,
  log: EventLog,
  scratch: string,
  onProgress: (position: bigint, until: bigint) => void = () => undefined,
): Promise<Verification> {
  const folder = await mkdtemp(join(scratch, 'verify-'));
  try {
    const copyPath = join(folder, 'copy.db');
    await copyFile(path, copyPath);
    const copy = await Connection.open(copyPath, 'read');
    try {
      const checkpoint = await assertComparable(path, projection, log, await readGeneration(copy, 'live'));
      const shadow = await replay(join(folder, 'shadow.db'), projection, log, checkpoint, onProgress);
      try {
        return await shadow.read(async (replayed) => {
          const storedDigest = await digestTables(copy, projection.tables, 'live');
          const replayedDigest = await digestTables(replayed, projection.tables, 'live');
          const difference =
            storedDigest === replayedDigest ? undefined : await firstDifference(projection, copy, replayed);
          const { position, events, skipped } = checkpoint;
          return {
            projection: projection.name,
            position,
            events,
            storedDigest,
            replayedDigest,
            skipped: skipped.length,
            ...(difference === undefined ? {} : { difference }),
          };
        });
      } finally {
        await shadow.close();
      }
    } finally {
      await copy.close();
    }
  } catch (error) {
    throw toProjectionError(error, path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The digest of a projection of a log up to a position, built in `folder`. Events that cannot be folded are skipped.
 * @throws FoldError NEWER_EVENT
 */
export async function digestAt(
  folder: string,
  projection: Projection,
  log: EventLog,
  until: bigint,
  onProgress: (position: bigint, until: bigint) => void,
): Promise<string> {
  const scratch = await mkdtemp(join(folder, '.digest-'));
  try {
    const place = { position: until, skipped: [] };
    const skips = ({ code }: FoldError) => code !== 'NEWER_EVENT';
    const shadow = await replay(join(scratch, 'shadow.db'), projection, log, place, onProgress, skips);
    try {
      return await shadow.read((connection) => digestTables(connection, projection.tables, 'live'));
    } finally {
      await shadow.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  const source = await Connection.open(from, 'read');
  try {
    await source.run('VACUUM INTO ?', [to]);
  } finally {
    await source.close();
  }
}

async function assertComparable(
  path: string,
  projection: Projection,
  log: EventLog,
  checkpoint: Generation | undefined,
): Promise<Generation> {
  if (checkpoint === undefined) throw new ProjectionError('PROJECTION_DAMAGED', `${path} holds no projection.`);
  await checkCheckpoint({ path, projection }, checkpoint, log);
  if (checkpoint.version !== projection.version) {
    throw new ProjectionError(
      'PROJECTION_BUSY',
      `${path} has version ${checkpoint.version} and waits to be rebuilt as version ${projection.version}. Start the core first.`,
    );
  }
  return checkpoint;
}

async function replay(
  path: string,
  projection: Projection,
  log: EventLog,
  { position: until, skipped }: Pick<Generation, 'position' | 'skipped'>,
  onProgress: (position: bigint, until: bigint) => void,
  skips: (failure: FoldError) => boolean = () => false,
): Promise<ProjectionFile> {
  const shadow = await ProjectionFile.open(path, projection);
  try {
    await shadow.createNext(log.logId, skipped);
    await follow({
      file: shadow,
      slot: 'next',
      folder: new BatchFolder(projection, shadow.loader('next')),
      batches: upTo(log, projection, until),
      batchesPerCommit: BATCHES_PER_COMMIT,
      from: { position: 0n, skipped },
      skips,
      ended: new AbortController(),
      onCommit: ({ through }) => {
        onProgress(through, until);
      },
    });
    await shadow.switchToNext();
    return shadow;
  } catch (error) {
    await shadow.close();
    throw error;
  }
}

/** The events of the log up to a position, in batches. */
async function* upTo(log: EventLog, projection: Projection, until: bigint) {
  let events = [];
  for await (const event of log.readAll({ filter: filterOf(projection) })) {
    if (event.position > until) break;
    events.push(event);
    if (events.length < BATCH) continue;
    yield { events, through: event.position, live: false };
    events = [];
  }
  yield { events, through: until, live: true };
}

async function firstDifference(
  projection: Projection,
  stored: Connection,
  replayed: Connection,
): Promise<Difference | undefined> {
  for (const name of Object.keys(projection.tables).sort()) {
    const table = projection.tables[name];
    if (table === undefined) continue;
    const left = rowsInKeyOrder(stored, name, table, 'live')[Symbol.asyncIterator]();
    const right = rowsInKeyOrder(replayed, name, table, 'live')[Symbol.asyncIterator]();
    for (;;) {
      const [a, b] = await Promise.all([left.next(), right.next()]);
      const rowA = a.done === true ? undefined : a.value;
      const rowB = b.done === true ? undefined : b.value;
      if (rowA === undefined && rowB === undefined) break;
      const keyA = rowA === undefined ? undefined : String(rowA[table.key]);
      const keyB = rowB === undefined ? undefined : String(rowB[table.key]);
      if (keyA !== keyB || rowA === undefined || rowB === undefined) {
        const onlyStored = keyB === undefined || (keyA !== undefined && isBefore(rowA?.[table.key], rowB?.[table.key]));
        const key = (onlyStored ? keyA : keyB) ?? '';
        return { table: name, key, column: null, stored: onlyStored ? rowA : null, replayed: onlyStored ? null : rowB };
      }
      const column = Object.keys(rowA).find((candidate) => rowA[candidate] !== rowB[candidate]);
      if (column !== undefined) {
        return { table: name, key: String(keyA), column, stored: rowA[column], replayed: rowB[column] };
      }
    }
  }
  return undefined;
}

/** Whether a key is before another key of the same type, text or number. */
function isBefore(a: unknown, b: unknown): boolean {
  return typeof a === 'number' && typeof b === 'number' ? a < b : String(a) < String(b);
}
