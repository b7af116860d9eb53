import { copyFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventRow } from '../../../../src/infra/eventlog/embedded/event-row.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { collect, newEvent, newStream } from '../../../support/events.js';
import { mountSmallDisk } from '../../../support/file-limits.js';
import { LogFolder } from '../../../support/log-folder.js';

const EARLIER = fileURLToPath(new URL('../../../golden/0.1/core/log.db', import.meta.url));

let folder: LogFolder;
beforeEach(async () => {
  folder = await LogFolder.create();
  await copyFile(EARLIER, folder.file);
});
afterEach(() => folder.remove());

async function inFile<R>(path: string, use: (file: Connection) => Promise<R>): Promise<R> {
  const file = await Connection.open(path, 'read');
  return use(file).finally(() => file.close());
}

const rowsOf = (path: string) => inFile(path, (file) => file.all<EventRow>('SELECT * FROM events ORDER BY position'));
const pragma = (path: string, name: string) =>
  inFile(path, async (file) => Object.values((await file.all(`PRAGMA ${name}`))[0] ?? {})[0]);

describe('a log in the format of one table', () => {
  it('keeps its events, which become the first partition, and can shrink from then on', async () => {
    const before = await rowsOf(folder.file);
    expect(await pragma(folder.file, 'auto_vacuum')).toBe(0);
    const rewritten: number[] = [];
    const { size } = await stat(folder.file);
    const open = () =>
      EmbeddedLog.open(folder.file, systemClock, {
        onRewrite: (bytes) => void rewritten.push(bytes),
        partitionBytes: 0,
      });
    const log = await open();
    expect(await rowsOf(folder.file)).toEqual(before);
    expect((await collect(log.readAll())).length).toBe(before.length);
    await log.append(newStream(), [newEvent()], 'no-stream');
    await log.close();
    expect(rewritten).toEqual([size]);
    expect(await pragma(folder.file, 'user_version')).toBe(2);
    expect(await pragma(folder.file, 'auto_vacuum')).toBe(2);
    const again = await open();
    expect(await again.head()).toBe(BigInt(before.length + 1));
    await again.close();
    expect(rewritten).toHaveLength(1);
    const [first, second] = await inFile(folder.file, (file) => file.all('SELECT number, first FROM partitions'));
    expect([first, second]).toEqual([
      { number: 1, first: 1 },
      { number: 2, first: before.length + 2 },
    ]);
  });

  it('is taken over by one of several that open it at the same time', async () => {
    const before = await rowsOf(folder.file);
    const logs = await Promise.all([1, 2, 3].map(() => folder.open()));
    for (const log of logs) await log.append(newStream(), [newEvent()], 'no-stream');
    expect((await collect(logs[0]!.readAll())).length).toBe(before.length + 3);
  });

  it('is taken over, and only never shrinks, where there is no room to rewrite it', async () => {
    const disk = join(folder.path, 'disk');
    const { size } = await stat(EARLIER);
    const unmount = await mountSmallDisk(disk, 4 * size);
    try {
      const path = join(disk, 'log.db');
      await copyFile(EARLIER, path);
      await writeFile(join(disk, 'filler'), Buffer.alloc(1.5 * size));
      const log = await folder.open(path);
      expect(await collect(log.readAll())).toHaveLength((await rowsOf(folder.file)).length);
      await folder.close();
      expect(await pragma(path, 'auto_vacuum')).toBe(0);
    } finally {
      await folder.close();
      await unmount();
    }
  });
});
