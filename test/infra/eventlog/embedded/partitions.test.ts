import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { WrongExpectedRevision } from '../../../../src/infra/eventlog/errors.js';
import type { ExpectedRevision } from '../../../../src/infra/eventlog/eventlog.js';
import { Connection, type Param } from '../../../../src/infra/sqlite/connection.js';
import { collect, expectLogError, follow, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { LogFolder } from '../../../support/log-folder.js';
import { Random } from '../../../support/random.js';
import { SEED } from '../../../support/seed.js';

/** Begins a partition with each group of appends, or never. */
const ALWAYS = { partitionBytes: 0 };
const NEVER = { partitionBytes: Number.MAX_SAFE_INTEGER };

let folder: LogFolder;
beforeEach(async () => {
  folder = await LogFolder.create();
});
afterEach(() => folder.remove());

const open = (options: { readonly partitionBytes: number }) => folder.open(folder.file, options);

async function inFile<R>(use: (file: Connection) => Promise<R>): Promise<R> {
  const file = await Connection.open(folder.file, 'write');
  return use(file).finally(() => file.close());
}

const partitions = () =>
  inFile((file) => file.all<{ number: number; first: number; bytes: number | null }>('SELECT * FROM partitions'));

type Work = () => Promise<unknown>;

/** Changes the work of the next transaction, of whichever connection. */
function onNextTransaction(change: (work: Work) => Work | Promise<Work>): void {
  const { value } = Object.getOwnPropertyDescriptor(Connection.prototype, 'transaction') ?? {};
  const original = value as (this: Connection, begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: Work) => Promise<unknown>;
  const spy = vi.spyOn(Connection.prototype, 'transaction');
  spy.mockImplementationOnce(async function (this: Connection, begin, work) {
    return original.call(this, begin, await change(work));
  });
  onTestFinished(() => spy.mockRestore());
}

/** Everything in the log, after it was checked that its positions and revisions have no gaps. */
async function whole(log: EmbeddedLog) {
  const events = await collect(log.readAll());
  expect(events.map(({ position }) => position)).toEqual(events.map((_, i) => BigInt(i + 1)));
  for (const stream of new Set(events.map((event) => event.stream))) {
    const own = events.filter((event) => event.stream === stream);
    expect(own.map(({ revision }) => revision)).toEqual(own.map((_, i) => BigInt(i)));
    expect(await collect(log.readStream(stream))).toEqual(own);
    expect(await collect(log.readStream(stream, { direction: 'backward' }))).toEqual(own.toReversed());
  }
  expect(await log.head()).toBe(BigInt(events.length));
  return events;
}

describe('partitions', () => {
  it('begin when the newest one is full, and never get too many', async () => {
    const log = await open({ partitionBytes: 256 * 1024 });
    for (let i = 0; i < 12; i += 1) await log.append(newStream(), newEvents(500), 'no-stream');
    const made = await partitions();
    expect(made.length).toBeGreaterThan(5);
    for (const { bytes } of made.slice(0, -1)) {
      expect(bytes).toBeGreaterThanOrEqual(256 * 1024);
      expect(bytes).toBeLessThan(3 * 256 * 1024);
    }
    const many = await LogFolder.create(ALWAYS);
    const crowded = await many.open();
    for (let i = 0; i < 300; i += 1) await crowded.append(newStream(), newEvents(4), 'no-stream');
    const file = await Connection.open(many.file, 'read');
    expect((await file.all('SELECT number FROM partitions')).length).toBeLessThan(70);
    await file.close();
    await many.remove();
    await whole(log);
  });

  it('are found again by the next to open the file, also an empty one', async () => {
    const log = await open(ALWAYS);
    const events = newEvents(3);
    for (const event of events) await log.append('mission-1', [event], 'any');
    await expect.poll(async () => (await partitions()).length).toBe(4);
    await log.close();
    const again = await open(ALWAYS);
    expect(await again.head()).toBe(3n);
    expect(await again.append('mission-1', [newEvent()], 2n)).toEqual({ revision: 3n, position: 4n });
    expect(idsOf(await whole(again)).slice(0, 3)).toEqual(idsOf(events));
  });

  it('are those of one moment to whoever opens the file while one is made', async () => {
    const log = await open(ALWAYS);
    const { value } = Object.getOwnPropertyDescriptor(Connection.prototype, 'all') ?? {};
    const original = value as (this: Connection, sql: string, params?: readonly Param[]) => Promise<never[]>;
    let isMade = false;
    const spy = vi.spyOn(Connection.prototype, 'all');
    spy.mockImplementation(async function (this: Connection, sql, params) {
      const rows = await original.call(this, sql, params);
      if (isMade || !sql.startsWith('SELECT number, first FROM partitions')) return rows;
      isMade = true;
      await log.append('mission-1', [newEvent()], 'no-stream');
      await expect.poll(async () => (await partitions()).length).toBe(2);
      return rows;
    });
    onTestFinished(() => spy.mockRestore());
    const opened = await open(NEVER);
    expect(isMade).toBe(true);
    expect(await opened.head()).toBe(1n);
    await whole(opened);
  });

  it('take no events once the next one has begun', async () => {
    const log = await open(ALWAYS);
    await log.append('mission-1', [newEvent()], 'no-stream');
    await expect.poll(async () => (await partitions()).length).toBe(2);
    const copy = `INSERT INTO events_1 SELECT 9, 'mission-2', 0, id, type, etype, data, metadata, recorded_at, checksum FROM events_1`;
    await expect(inFile((file) => file.run(copy))).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT' });
  });
});

describe('a stream with its events in sealed partitions', () => {
  const EXPECTED: readonly (readonly [ExpectedRevision, boolean])[] = [
    ['no-stream', false],
    [0n, false],
    [1n, true],
    [2n, false],
    ['exists', true],
    ['any', true],
  ];

  it.each(EXPECTED)('is appended to with the expectation %s exactly, by whoever appends', async (expected, isMet) => {
    const writer = await open(ALWAYS);
    const [idle, knows] = [await open(NEVER), await open(NEVER)];
    const streams = Array.from({ length: 4 }, () => newStream());
    for (const stream of streams) await knows.append(stream, [newEvent()], 'no-stream');
    for (const stream of streams) await writer.append(stream, [newEvent()], 0n);
    for (let i = 0; i < 3; i += 1) await writer.append(newStream(), [newEvent()], 'no-stream');
    await expect.poll(async () => (await partitions()).length).toBeGreaterThan(5);
    const reopened = await open(NEVER);
    for (const [i, log] of [writer, idle, knows, reopened].entries()) {
      const appending = log.append(streams[i] ?? '', [newEvent()], expected);
      if (isMet) expect(await appending).toMatchObject({ revision: 2n });
      else await expect(appending).rejects.toMatchObject({ code: 'WRONG_EXPECTED_REVISION', actual: 1n });
    }
    await whole(writer);
  });

  it('keeps its revisions when another process wrote just before the partition was sealed', async () => {
    const [log, other] = [await open(ALWAYS), await open(NEVER)];
    // A group, of which each part is written by one of them, until the partition of both is sealed by the first one.
    for (let round = 0; round < 20; round += 1) {
      const [kept, begun] = [newStream(), newStream()];
      await log.append(kept, [newEvent()], 'no-stream');
      await other.append(kept, [newEvent()], 0n);
      await other.append(begun, [newEvent()], 'no-stream');
      await log.append(newStream(), [newEvent()], 'no-stream');
      await expect(log.append(kept, [newEvent()], 0n)).rejects.toMatchObject({ actual: 1n });
      await expect(log.append(begun, [newEvent()], 'no-stream')).rejects.toMatchObject({ actual: 0n });
      expect(await log.append(kept, [newEvent()], 1n)).toMatchObject({ revision: 2n });
    }
    await whole(log);
  });

  it('is found although another process wrote between the last append and the seal', async () => {
    const [log, other] = [await open(ALWAYS), await open(NEVER)];
    onNextTransaction(async (work) => {
      await other.append('mission-1', [newEvent()], 0n);
      await other.append('mission-2', [newEvent()], 'no-stream');
      return work;
    });
    await log.append('mission-1', [newEvent()], 'no-stream');
    await expect.poll(async () => (await partitions()).length).toBe(2);
    expect(await log.append('mission-3', [newEvent()], 'no-stream')).toEqual({ revision: 0n, position: 4n });
    await expect(log.append('mission-1', [newEvent()], 0n)).rejects.toMatchObject({ actual: 1n });
    await expect(log.append('mission-2', [newEvent()], 'no-stream')).rejects.toMatchObject({ actual: 0n });
    await whole(log);
  });

  it('is continued at the right place after an append that found a new partition failed', async () => {
    const [log, other] = [await open(NEVER), await open(ALWAYS)];
    await log.append('mission-1', [newEvent()], 'no-stream');
    for (let i = 0; i < 3; i += 1) await other.append(newStream(), [newEvent()], 'no-stream');
    onNextTransaction((work) => async () => {
      await work();
      throw new Error('the disk is gone');
    });
    await expect(log.append('mission-1', [newEvent()], 0n)).rejects.toThrow('the disk is gone');
    expect(await log.append('mission-1', [newEvent()], 0n)).toMatchObject({ revision: 1n, position: 5n });
    await whole(log);
  });

  it('returns the stored result of an append that is repeated', async () => {
    const log = await open(ALWAYS);
    const events = newEvents(2);
    const stored = await log.append('mission-1', events, 'no-stream');
    for (let i = 0; i < 3; i += 1) await log.append(newStream(), [newEvent()], 'no-stream');
    expect(await log.append('mission-1', events, 'no-stream')).toEqual(stored);
    expect(await (await open(NEVER)).append('mission-1', events, 'no-stream')).toEqual(stored);
  });
});

describe('several processes that add partitions', () => {
  it(`store what they acknowledge, once and in order, and nothing else (TEST_SEED=${SEED})`, async () => {
    const random = new Random(SEED);
    const logs = [await open(ALWAYS), await open(NEVER), await open({ partitionBytes: 64 * 1024 }), await open(ALWAYS)];
    const streams = Array.from({ length: 12 }, () => newStream());
    const total: { through?: bigint } = {};
    const following = follow(logs[1]!, { after: 0n }, ({ through }) => through === total.through);
    const acknowledged: string[] = [];
    const refused: string[] = [];
    await Promise.all(
      logs.flatMap((log) =>
        Array.from({ length: 3 }, async () => {
          for (let i = 0; i < 60; i += 1) {
            const stream = random.chance(0.3) ? newStream() : random.pick(streams);
            const expected = random.pick<ExpectedRevision>([
              'any',
              'exists',
              'no-stream',
              BigInt(random.between(0, 9)),
            ]);
            const events = newEvents(random.between(1, 3));
            try {
              const { position, revision } = await log.append(stream, events, expected);
              expect(revision).toBeGreaterThanOrEqual(BigInt(events.length - 1));
              expect(position).toBeGreaterThan(0n);
              acknowledged.push(...idsOf(events));
            } catch (error) {
              expect(error).toBeInstanceOf(WrongExpectedRevision);
              refused.push(...idsOf(events));
            }
          }
        }),
      ),
    );
    const events = await whole(logs[3]!);
    expect(idsOf(events).sort()).toEqual(acknowledged.sort());
    expect(refused.length).toBeGreaterThan(100);
    expect((await partitions()).length).toBeGreaterThan(10);
    total.through = await logs[0]!.head();
    await logs[1]!.append(newStream(), [newEvent()], 'no-stream');
    total.through += 1n;
    expect(idsOf((await following).events).slice(0, -1)).toEqual(idsOf(events));
  });
});

describe('a file whose partitions are not those that it lists', () => {
  it.each([
    ['one is not listed', 'DELETE FROM partitions WHERE number = 2'],
    ['the newest is not listed', 'DELETE FROM partitions WHERE number = (SELECT max(number) FROM partitions)'],
    [
      'one begins elsewhere',
      'UPDATE partitions SET first = first + 1 WHERE number = (SELECT max(number) FROM partitions)',
    ],
    ['one can be appended to', 'DROP TRIGGER events_2_sealed'],
    ['one is not shown', 'DROP VIEW events; CREATE VIEW events AS SELECT * FROM events_1'],
    ['none is shown', 'DROP VIEW events'],
    ['one is missing', 'DROP TABLE events_2'],
  ])('is refused as LOG_CORRUPT when %s', async (_what, sql) => {
    const log = await open(ALWAYS);
    for (let i = 0; i < 4; i += 1) await log.append(newStream(), [newEvent()], 'no-stream');
    await expect.poll(async () => (await partitions()).length).toBe(5);
    await log.close();
    await inFile((file) => file.exec(sql));
    await expectLogError(open(ALWAYS), 'LOG_CORRUPT');
  });
});
