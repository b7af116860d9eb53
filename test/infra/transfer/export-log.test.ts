import { setImmediate as turn } from 'node:timers/promises';
import { PassThrough, Writable } from 'node:stream';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LogError } from '../../../src/infra/eventlog/errors.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { exportLog } from '../../../src/infra/transfer/export-log.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newDataDir } from '../../support/core.js';
import { collect, idsOf, newEvents } from '../../support/events.js';
import { emptyRows } from '../../support/log-folder.js';
import { newLog } from '../projector/support.js';

/** Exports a log into memory, optionally skipping damaged events; returns the ids and the damage. */
async function exported(log: EventLog, skipDamaged = false) {
  const output = new PassThrough({ highWaterMark: 1024 });
  const text = collect<Buffer>(output);
  const damaged: string[] = [];
  const progress: [bigint, bigint][] = [];
  const onDamaged = ({ message }: LogError) => void damaged.push(message);
  const count = await exportLog(log, output, {
    onProgress: (position, head) => void progress.push([position, head]),
    ...(skipDamaged && { onDamaged }),
  });
  output.end();
  const lines = Buffer.concat(await text)
    .toString()
    .split('\n')
    .filter(Boolean);
  const ids = lines.map((line) => (JSON.parse(line) as { id: string }).id);
  return { count, ids, damaged, progress };
}

/** A log of two alternating streams; `damage` runs on its file. */
async function damagedLog(count: number, damage: (file: Connection) => Promise<unknown>) {
  const folder = await newDataDir();
  const log = await newLog(folder);
  const events = newEvents(count);
  await Promise.all(events.map((event, i) => log.append(`mission-${i % 2}`, [event], 'any')));
  const file = await Connection.open(join(folder, 'log.db'), 'write');
  await damage(file);
  await file.close();
  return { log, ids: idsOf(events) };
}

function flip(...positions: number[]) {
  return (file: Connection) =>
    file.run(`UPDATE events_1 SET data = replace(data, 'A title', 'A tidle') WHERE position IN (${positions.join()})`);
}

describe('an export', () => {
  it('contains each event once, in order, and reports its progress', async () => {
    const { log, ids } = await damagedLog(2_500, async () => undefined);
    const { count, ids: found, progress } = await exported(log);
    expect(count).toBe(2_500);
    expect(found).toEqual(ids);
    expect(progress.at(-1)).toEqual([2_500n, 2_500n]);
  });

  it('of an empty log is empty', async () => {
    expect(await exported(await newLog())).toMatchObject({ count: 0, ids: [] });
  });

  it('waits for a slow reader', async () => {
    const { log } = await damagedLog(200, async () => undefined);
    let most = 0;
    const output: Writable = new Writable({
      highWaterMark: 1_000,
      write(_chunk, _encoding, done) {
        most = Math.max(most, output.writableLength);
        void turn().then(() => done());
      },
    });
    await exportLog(log, output, { onProgress: () => undefined });
    expect(most).toBeLessThan(2_000);
  });

  it('ends with the error of its output', async () => {
    const { log } = await damagedLog(200, async () => undefined);
    const output = new Writable({ highWaterMark: 100, write: (_chunk, _encoding, done) => done(new Error('gone')) });
    output.on('error', () => undefined);
    await expect(exportLog(log, output, { onProgress: () => undefined })).rejects.toThrow('gone');
  });

  it('ends at a damaged event, naming its position, by default', async () => {
    const { log } = await damagedLog(10, flip(4));
    await expect(exported(log)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringContaining('position 4 '),
    });
  });

  it('skips exactly the damaged events, and reports them, when requested', async () => {
    const bad = [1, 2, 700, 1_000, 1_001, 2_400];
    const { log, ids } = await damagedLog(2_400, flip(...bad));
    const { count, ids: found, damaged } = await exported(log, true);
    expect(found).toEqual(ids.filter((_, i) => !bad.includes(i + 1)));
    expect(count).toBe(2_400 - bad.length);
    expect(damaged).toEqual(bad.map((position) => expect.stringContaining(`position ${position} `)));
  });

  it('skips events whose rows are missing', async () => {
    const { log, ids } = await damagedLog(20, (file) => file.run('DELETE FROM events_1 WHERE position IN (5, 6)'));
    const { ids: found, damaged } = await exported(log, true);
    expect(found).toEqual(ids.filter((_, i) => i !== 4 && i !== 5));
    expect(damaged).not.toEqual([]);
  });

  it('reports a damaged event once, also after rows that a repair has emptied', async () => {
    const { log, ids } = await damagedLog(20, async (file) => {
      await flip(11)(file);
      await emptyRows(file, 'position <= 10');
    });
    const { ids: found, damaged } = await exported(log, true);
    expect(found).toEqual(ids.filter((_, i) => i > 10));
    expect(damaged).toEqual([expect.stringContaining('position 11 ')]);
  });
});
