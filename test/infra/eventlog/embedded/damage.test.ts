import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../../src/domain/event.js';
import { checksumOf, type EventRow } from '../../../../src/infra/eventlog/embedded/event-row.js';
import { LogError } from '../../../../src/infra/eventlog/errors.js';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { collect, expectLogError, newEvent, newEvents } from '../../../support/events.js';
import { emptyRows, LogFolder, split } from '../../../support/log-folder.js';

const FLIPS = 200;
const BURSTS = 40;
const CUTS = 40;
const PAGE_BYTES = 4_096;
/** The byte with which SQLite marks a page of index entries. */
const INDEX_LEAF = 0x0a;
const STREAMS = ['mission-1', 'mission-2', 'task-1', 'job-1', 'job-2', 'job-3', 'job-ended', 'mission-cut'];
const TYPES = ['MissionCreated', 'TaskCreated', 'JobCreated', 'JobFailed'];

/** Everything in a log, read in every way that reads it completely. */
type Content = Readonly<Record<string, readonly RecordedEvent[]>>;

async function contentOf(log: EventLog): Promise<Content> {
  const content: Record<string, readonly RecordedEvent[]> = { all: await collect(log.readAll()) };
  for (const stream of STREAMS) {
    content[stream] = await collect(log.readStream(stream));
    content[`${stream} backward`] = await collect(log.readStream(stream, { direction: 'backward' }));
  }
  return content;
}

let folder: LogFolder;
/** The file of a closed log, with its contents. */
let file: Buffer;
let content: Content;

beforeAll(async () => {
  folder = await LogFolder.create();
  const log = await folder.open();
  for (let i = 0; i < 200; i += 1) {
    const data = { text: 'x'.repeat(i % 50 === 0 ? 20_000 : (i * 37) % 700) };
    await log.append(STREAMS[(i * 7) % 8] ?? '', [newEvent({ data, type: TYPES[(i * 5) % 4] ?? '' })], 'any');
  }
  const raw = await Connection.open(folder.file, 'write');
  await emptyRows(raw, "stream = 'mission-cut' AND revision < 10 OR stream = 'job-ended'");
  await raw.close();
  content = await contentOf(log);
  await log.close();
  file = await readFile(folder.file);
});

afterAll(() => folder.remove());

/** The contents of a file, or the error that refused it; any other error is thrown. */
async function outcomeOf(bytes: Buffer): Promise<Content | string> {
  const path = join(folder.path, 'damaged.db');
  for (const suffix of ['', '-wal', '-shm']) await rm(path + suffix, { force: true });
  await writeFile(path, bytes);
  try {
    return await contentOf(await folder.open(path));
  } catch (error) {
    if (error instanceof LogError) return error.code;
    throw error;
  } finally {
    await folder.close();
  }
}

/** Asserts that a damaged copy returns exactly the events that were written, or is refused. */
async function expectWholeOrRefused(bytes: Buffer): Promise<void> {
  const outcome = await outcomeOf(bytes);
  if (typeof outcome === 'string') expect(['LOG_CORRUPT', 'LOG_FAILED']).toContain(outcome);
  else expect(outcome).toEqual(content);
}

const place = fc.nat().map((n) => n % file.length);

describe.each([
  ['of one partition', []],
  ['of several partitions', [2, 40, 41, 120, 180]],
])('a log file %s that was damaged while it was closed', (_name, firsts) => {
  beforeAll(async () => {
    if (firsts.length === 0) return;
    const path = join(folder.path, 'split.db');
    await writeFile(path, file);
    await split(path, firsts);
    file = await readFile(path);
  });

  it('is read completely when it was not damaged', async () => {
    expect(content['all']?.length).toBeGreaterThan(150);
    expect(await outcomeOf(file)).toEqual(content);
  });

  it('returns exactly what was written or is refused, whichever bit flipped', async () => {
    await fc.assert(
      fc.asyncProperty(place, fc.nat(7), async (at, bit) => {
        const damaged = Buffer.from(file);
        damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at);
        await expectWholeOrRefused(damaged);
      }),
      { numRuns: FLIPS },
    );
  });

  it('returns exactly what was written or is refused, whichever sector was lost', async () => {
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom(0, 0xff), async (at, value) => {
        await expectWholeOrRefused(Buffer.from(file).fill(value, at - (at % 512), at - (at % 512) + 512));
      }),
      { numRuns: BURSTS },
    );
  });

  it('is refused as LOG_CORRUPT when the index has an event in another stream', async () => {
    const damaged = Buffer.from(file);
    for (let page = 0; page < file.length; page += PAGE_BYTES) {
      const at = damaged.readUInt8(page) === INDEX_LEAF ? damaged.indexOf('job-2', page) : -1;
      if (at < 0 || at >= page + PAGE_BYTES) continue;
      damaged.write('job-3', at);
      break;
    }
    expect(damaged.equals(file)).toBe(false);
    expect(await outcomeOf(damaged)).toBe('LOG_CORRUPT');
  });

  it('is refused as LOG_CORRUPT when its end is missing', async () => {
    await fc.assert(
      fc.asyncProperty(place, async (length) => {
        // A file of 0 or 1 bytes is one that SQLite has just created.
        const cut = file.subarray(0, Math.max(2, length - PAGE_BYTES));
        expect(await outcomeOf(cut)).toBe('LOG_CORRUPT');
      }),
      { numRuns: CUTS },
    );
  });

  it('returns exactly what was written or is refused when its last bytes are missing', async () => {
    for (const missing of [1, 2, 10, 100, 1_000, PAGE_BYTES - 1]) {
      await expectWholeOrRefused(file.subarray(0, file.length - missing));
    }
  });
});

describe('a file that is not a log', () => {
  it('is refused as LOG_CORRUPT when it is text, noise or zeros', async () => {
    const noise = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i * 31 + (i >> 3)) & 0xff));
    for (const bytes of [
      Buffer.from('# Notes\n'),
      Buffer.from('Some text. '.repeat(5_000)),
      noise,
      Buffer.alloc(8_192),
    ]) {
      expect(await outcomeOf(bytes)).toBe('LOG_CORRUPT');
    }
  });

  for (const [what, sql] of Object.entries({
    'another application’s database': 'CREATE TABLE notes (text)',
    'another application’s, of the same version': 'CREATE TABLE events (a); PRAGMA user_version = 1',
    'a database of another kind': 'CREATE TABLE log (key, value); PRAGMA application_id = 7; PRAGMA user_version = 1',
  })) {
    it(`is refused as LOG_FAILED, and left unchanged, when it is ${what}`, async () => {
      const path = join(folder.path, 'other.db');
      await rm(path, { force: true });
      const other = await Connection.open(path, 'write');
      await other.exec(sql);
      await other.close();
      const bytes = await readFile(path);

      await expectLogError(folder.open(path), 'LOG_FAILED');

      expect(await readFile(path)).toEqual(bytes);
      await expect(stat(`${path}-wal`)).rejects.toMatchObject({ code: 'ENOENT' });
    });
  }

  it('is refused as LOG_FAILED when it is a log of a later format', async () => {
    const path = join(folder.path, 'later.db');
    await writeFile(path, file);
    const later = await Connection.open(path, 'write');
    await later.exec('PRAGMA user_version = 3');
    await later.close();
    await expectLogError(folder.open(path), 'LOG_FAILED');
  });
});

/** Damage that only reading can find: the file is too large to be checked when opened, or was damaged later. */
describe('damage in an open log', () => {
  let log: EventLog;
  let raw: Connection;

  beforeEach(async () => {
    const fresh = await LogFolder.create();
    log = await fresh.open();
    raw = await Connection.open(fresh.file, 'write');
    for (let i = 0; i < 4; i += 1) await log.append(`mission-${i}`, newEvents(25), 'no-stream');
    await emptyRows(raw, "stream = 'mission-3' AND revision < 5");
    return async () => {
      await raw.close();
      await fresh.remove();
    };
  });

  for (const [what, sql] of Object.entries({
    'an event is missing': 'DELETE FROM events_1 WHERE position = 12',
    'many events are missing': 'DELETE FROM events_1 WHERE position BETWEEN 8 AND 19',
    'an emptied row is missing': 'DELETE FROM events_1 WHERE position = 77',
    'an event looks emptied': 'UPDATE events_1 SET etype = 0 WHERE position = 12',
    'an emptied row looks whole': "UPDATE events_1 SET type = 'JobCreated' WHERE position = 77",
    'data has changed': "UPDATE events_1 SET data = '{}' WHERE position = 12",
    'a revision has changed': 'UPDATE events_1 SET revision = 1000 WHERE position = 12',
    'a position has changed': 'UPDATE events_1 SET position = 1000 WHERE position = 12',
    'an event has moved to another stream': "UPDATE events_1 SET stream = 'mission-9' WHERE position = 12",
    'a value has another type': "UPDATE events_1 SET data = x'00', recorded_at = 7.5, id = x'ff' WHERE position = 12",
  })) {
    it(`is LOG_CORRUPT to every reader of the damaged place when ${what}`, async () => {
      const { changes } = await raw.run(sql);
      expect(changes).toBeGreaterThan(0);

      await expectLogError(collect(log.readAll()), 'LOG_CORRUPT');
      const { signal } = new AbortController();
      await expectLogError(collect(log.subscribe({ after: 0n, signal })), 'LOG_CORRUPT');
      // The events before it can still be read.
      expect(await collect(log.readAll({ limit: 7 }))).toHaveLength(7);
    });
  }

  it('is LOG_CORRUPT to a filtered reader when an event is missing anywhere in the scanned part', async () => {
    await raw.run('DELETE FROM events_1 WHERE position = 12');
    await expectLogError(collect(log.readAll({ filter: { types: ['JobFailed'] } })), 'LOG_CORRUPT');
    await expectLogError(collect(log.readAll({ filter: { streams: ['mission-3'] } })), 'LOG_CORRUPT');
  });

  it('is LOG_CORRUPT to a reader of the stream, and to no other', async () => {
    await raw.run("DELETE FROM events_1 WHERE stream = 'mission-0' AND revision = 11");
    await raw.run("DELETE FROM events_1 WHERE stream = 'mission-3' AND revision = 2");

    for (const stream of ['mission-0', 'mission-3'])
      await expectLogError(collect(log.readStream(stream)), 'LOG_CORRUPT');
    await expectLogError(collect(log.readStream('mission-0', { direction: 'backward' })), 'LOG_CORRUPT');
    await expectLogError(collect(log.readStream('mission-0', { from: 11n })), 'LOG_CORRUPT');
    expect(await collect(log.readStream('mission-0', { from: 12n }))).toHaveLength(13);
    expect(await collect(log.readStream('mission-1'))).toHaveLength(25);
  });

  it('ends a subscription that was waiting, although undamaged events precede it', async () => {
    const { signal } = new AbortController();
    const batches = log.subscribe({ after: await log.head(), signal })[Symbol.asyncIterator]();
    expect(await batches.next()).toMatchObject({ value: { live: true } });
    const next = batches.next();
    const rows = [0, 1, 2].map((i) => {
      const place = { position: 101 + i, stream: 'job-1', revision: i, id: `${i}`, type: 'JobCreated', etype: 14 };
      const row = { ...place, data: '{}', metadata: '{}', recorded_at: '2026-01-01T00:00:00.000Z' };
      return { ...row, checksum: checksumOf(row) + (i === 2 ? 1 : 0) } satisfies EventRow;
    });
    await raw.run(
      `INSERT INTO events_1 SELECT value->>'position', value->>'stream', value->>'revision', value->>'id', value->>'type',
       value->>'etype', value->>'data', value->>'metadata', value->>'recorded_at', value->>'checksum' FROM json_each(?)`,
      [JSON.stringify(rows)],
    );

    await expectLogError(next, 'LOG_CORRUPT');
  });
});
