import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogError } from '../../../../src/infra/eventlog/errors.js';
import { collect, expectLogError, follow, idsOf, newEvent, newEvents } from '../../../support/events.js';
import { makeReadOnly, mountSmallDisk } from '../../../support/file-limits.js';
import { LogFolder } from '../../../support/log-folder.js';

const DISK_BYTES = 2 * 1024 * 1024;

let folder: LogFolder;

beforeEach(async () => {
  folder = await LogFolder.create();
});

afterEach(() => folder.remove());

describe('a read-only file or folder', () => {
  it('can be read, and refuses appends as LOG_READONLY, when it is the file', async () => {
    const log = await folder.open();
    await log.append('mission-1', newEvents(3), 'no-stream');
    await log.close();
    const undo = await makeReadOnly(folder.file);
    try {
      const reopened = await folder.open();
      expect(await collect(reopened.readAll())).toHaveLength(3);
      await expectLogError(reopened.append('mission-1', [newEvent()], 'any'), 'LOG_READONLY');
      await reopened.close();
    } finally {
      await undo();
    }
    expect(await (await folder.open()).append('mission-1', [newEvent()], 2n)).toMatchObject({ revision: 3n });
  });

  it('is refused as LOG_READONLY when it is the folder, with a log in it or without', async () => {
    await (await folder.open()).close();
    const undo = await makeReadOnly(folder.path);
    try {
      await expectLogError(folder.open(), 'LOG_READONLY');
      await expectLogError(folder.open(join(folder.path, 'new.db')), 'LOG_READONLY');
    } finally {
      await undo();
    }
  });

  it('is refused as LOG_READONLY when it is a folder that does not exist', async () => {
    await expectLogError(folder.open(join(folder.path, 'nowhere', 'log.db')), 'LOG_READONLY');
  });
});

describe('a full disk', () => {
  it.each([
    ['fails appends as LOG_FULL and changes nothing; reads continue, and so do appends once there is space', {}],
    ['does so while partitions are made', { partitionBytes: 0 }],
  ])('%s', async (_what, options) => {
    const disk = join(folder.path, 'disk');
    const unmount = await mountSmallDisk(disk, DISK_BYTES);
    try {
      await writeFile(join(disk, 'filler'), Buffer.alloc(DISK_BYTES / 4));
      const log = await folder.open(join(disk, 'log.db'), options);
      const acknowledged: string[] = [];
      const following = follow(log, { after: 0n }, ({ events }) => events.at(-1)?.data['last'] === true);

      let failure: unknown;
      for (let i = 0; failure === undefined; i += 1) {
        const events = newEvents(2, { data: { text: 'x'.repeat(10_000) } });
        await log.append(`mission-${i % 5}`, events, 'any').then(
          () => acknowledged.push(...idsOf(events)),
          (error: unknown) => (failure = error),
        );
      }

      expect(failure).toBeInstanceOf(LogError);
      expect(failure).toMatchObject({ code: 'LOG_FULL' });
      for (let i = 0; i < 5; i += 1) {
        await expectLogError(
          log.append('mission-0', newEvents(1, { data: { text: 'x'.repeat(900_000) } }), 'any'),
          'LOG_FULL',
        );
      }
      expect(acknowledged.length).toBeGreaterThan(20);
      expect(idsOf(await collect(log.readAll()))).toEqual(acknowledged);
      expect((await collect(log.readStream('mission-0'))).length).toBeGreaterThan(3);

      await rm(join(disk, 'filler'));
      const more = [...newEvents(5), newEvent({ data: { last: true } })];
      await log.append('mission-0', more, 'exists');
      acknowledged.push(...idsOf(more));

      expect(idsOf((await following).events)).toEqual(acknowledged);
      await log.close();
      expect(idsOf(await collect((await folder.open(join(disk, 'log.db'))).readAll()))).toEqual(acknowledged);
    } finally {
      await folder.close();
      await unmount();
    }
  });
});
