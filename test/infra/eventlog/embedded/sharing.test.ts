import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WrongExpectedRevision } from '../../../../src/infra/eventlog/errors.js';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { collect, follow, idsOf, newEvent, newEvents, newStream, revisionsTo } from '../../../support/events.js';
import { LogFolder } from '../../../support/log-folder.js';

const DIST = new URL('../../../../dist/infra/eventlog/embedded/embedded-log.js', import.meta.url).href;
/** A separate process that appends `count` events one by one to a shared stream, and as many to its own stream. */
const CHILD = `
  import { randomUUID } from 'node:crypto';
  const [file, count, options] = process.argv.slice(1);
  const { EmbeddedLog } = await import('${DIST}').catch(() => { throw new Error('run "npm run build" first'); });
  const log = await EmbeddedLog.open(file, { now: () => new Date() }, JSON.parse(options));
  const metadata = { at: '2026-01-01T00:00:00.000Z', actor: 'child', correlationId: 'c', causationId: 'c', schemaVersion: 1 };
  const event = () => ({ id: randomUUID(), type: 'JobCreated', data: {}, metadata });
  for (let i = 0; i < Number(count); i += 1) {
    await Promise.all([log.append('mission-shared', [event()], 'any'), log.append('job-child', [event()], 'any')]);
  }
  await log.close();
`;

let folder: LogFolder;

afterEach(() => folder.remove());

/** Appends at the assumed revision, reads it again when it was wrong, until all events are stored. */
async function appendPinned(log: EventLog, stream: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const [last] = await collect(log.readStream(stream, { direction: 'backward', limit: 1 }));
    const event = newEvent();
    try {
      await log.append(stream, [event], last?.revision ?? 'no-stream');
      ids.push(event.id);
    } catch (error) {
      expect(error).toBeInstanceOf(WrongExpectedRevision);
    }
  }
  return ids;
}

describe.each([
  ['', {}],
  [', in which each group of appends begins a partition', { partitionBytes: 0 }],
])('a file opened more than once%s', (_name, options) => {
  beforeEach(async () => {
    folder = await LogFolder.create(options);
  });

  it('is created by the first opener', async () => {
    for (let round = 0; round < 10; round += 1) {
      const file = `${folder.file}-${round}`;
      const logs = await Promise.all(Array.from({ length: 3 }, () => folder.open(file)));
      expect(new Set(logs.map(({ logId }) => logId)).size).toBe(1);
      await Promise.all(logs.map((log) => log.append(newStream(), [newEvent()], 'no-stream')));
      expect(await logs[0]?.head()).toBe(3n);
      await folder.close();
    }
  });

  it('loses nothing when both write concurrently, and all subscribers see all events', async () => {
    const [a, b] = [await folder.open(), await folder.open()];
    const PER_LOG = 150;
    const followers = [a, b].map((log) => follow(log, { after: 0n }, ({ through }) => through === BigInt(PER_LOG * 4)));

    const written = await Promise.all(
      [a, b].flatMap((log, i) => {
        const own = newStream(`job`);
        return Array.from({ length: PER_LOG }, async () => {
          const [shared, single] = [newEvent({ data: { by: i } }), newEvent()];
          await Promise.all([log.append('mission-shared', [shared], 'any'), log.append(own, [single], 'any')]);
          return [shared.id, single.id];
        });
      }),
    );

    const all = await collect(a.readAll());
    expect(await collect(b.readAll())).toEqual(all);
    expect(idsOf(all).sort()).toEqual(written.flat().sort());
    expect(all.map(({ position }) => position)).toEqual(all.map((_, i) => BigInt(i + 1)));
    const shared = await collect(b.readStream('mission-shared'));
    expect(shared.map(({ revision }) => revision)).toEqual(revisionsTo(PER_LOG * 2));
    for (const { events } of await Promise.all(followers)) expect(events).toEqual(all);
  });

  it('lets one append succeed at each numeric expected revision', async () => {
    const [a, b] = [await folder.open(), await folder.open()];
    const ids = await Promise.all([appendPinned(a, 'mission-1', 30), appendPinned(b, 'mission-1', 30)]);
    const stored = await collect(a.readStream('mission-1'));
    expect(stored.map(({ revision }) => revision)).toEqual(revisionsTo(60));
    expect(idsOf(stored).sort()).toEqual(ids.flat().sort());
  });

  it('checks appends against the events of the other, not against its cache', async () => {
    const [a, b] = [await folder.open(), await folder.open()];
    const [one, two] = ['mission-1', 'mission-2'];
    for (const stream of [one, two]) await b.append(stream, newEvents(2), 'no-stream');
    // From here on b has both streams cached at revision 1.
    await a.append(one, newEvents(2), 1n);
    await a.append(two, newEvents(3), 1n);

    await expect(b.append(one, [newEvent()], 1n)).rejects.toMatchObject({ expected: 1n, actual: 3n });
    await expect(b.append(two, [newEvent()], 'no-stream')).rejects.toMatchObject({ actual: 4n });
    expect(await b.append(one, [newEvent()], 3n)).toMatchObject({ revision: 4n });
    expect(await b.append(two, [newEvent()], 'any')).toMatchObject({ revision: 5n });
    expect(await a.append(one, [newEvent()], 'exists')).toMatchObject({ revision: 5n });
    const both = await Promise.all([a.append(two, [newEvent()], 'any'), b.append(two, [newEvent()], 'any')]);
    expect(both.map(({ revision }) => revision).sort()).toEqual([6n, 7n]);
  });

  it('returns the stored result for an append that the other has already made', async () => {
    const [a, b] = [await folder.open(), await folder.open()];
    const events = newEvents(2);
    await b.append('mission-1', newEvents(1), 'no-stream');
    const stored = await a.append('mission-1', events, 0n);
    expect(await b.append('mission-1', events, 0n)).toEqual(stored);
  });

  it('may be shared with another process: nothing is lost, and a subscriber here sees all events', async () => {
    const log = await folder.open();
    const COUNT = 100;
    const following = follow(log, { after: 0n }, ({ through }) => through === BigInt(COUNT * 4));
    const child = promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      CHILD,
      folder.file,
      String(COUNT),
      JSON.stringify(options),
    ]);
    const own: string[] = [];
    for (let i = 0; i < COUNT; i += 1) {
      const events = newEvents(2);
      await Promise.all([
        log.append('mission-shared', events.slice(0, 1), 'any'),
        log.append('job-parent', events.slice(1), 'any'),
      ]);
      own.push(...idsOf(events));
    }
    await child;

    const all = await collect(log.readAll());
    expect(all).toHaveLength(COUNT * 4);
    expect((await following).events).toEqual(all);
    expect(idsOf(all.filter(({ metadata }) => metadata.actor === 'tester')).sort()).toEqual(own.sort());
    expect((await collect(log.readStream('mission-shared'))).map(({ revision }) => revision)).toEqual(
      revisionsTo(COUNT * 2),
    );
    expect(await collect(log.readStream('job-child'))).toHaveLength(COUNT);
  });
});
