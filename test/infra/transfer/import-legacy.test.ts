import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LogError } from '../../../src/infra/eventlog/errors.js';
import type { AppendResult, EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { newDataDir } from '../../support/core.js';
import { collect } from '../../support/events.js';
import { newLog } from '../projector/support.js';
import { Heard, history, importFolder, job, legacyFolder, mission, task } from './support.js';

/** The events of a log, without their recording times. */
async function contentOf(log: EventLog) {
  return (await collect(log.readAll())).map(({ recordedAt: _, ...event }) => event);
}

/** A log that fails after a number of appends, like a killed process. */
function failingAfter(log: EventLog, appends: number): EventLog {
  let left = appends;
  return new Proxy(log, {
    get(target, name) {
      if (name === 'append')
        return (...args: Parameters<EventLog['append']>): Promise<AppendResult> => {
          left -= 1;
          return left < 0 ? Promise.reject(new LogError('LOG_FULL', 'no more')) : target.append(...args);
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('an import of the prototype', () => {
  it('records the history of each record, with its ids and dates', async () => {
    const folder = await legacyFolder({
      missions: [mission('m1')],
      tasks: [task('t1', 'm1')],
      jobs: [
        job('j1', 't1'),
        job('j2', 't1', { status: 'done', result: { ok: [1, 2.5, null] } }),
        job('j3', 't1', { status: 'failed', result: { why: 'x' } }),
      ],
    });
    const log = await newLog();
    expect((await importFolder(folder, log)).counts).toEqual({
      'missions.jsonl': [1, 1, 0, 0],
      'tasks.jsonl': [1, 1, 0, 0],
      'jobs.jsonl': [3, 3, 0, 0],
    });

    const events = await collect(log.readAll());
    const found = events.map(({ stream, type, data, metadata: { at, actor } }) => ({ stream, type, at, actor, data }));
    const created = '2021-03-08T15:51:20.000Z';
    const ended = '2021-03-09T15:51:20.000Z';
    const actor = 'import';
    const parents = { taskId: 't1', missionId: 'm1' };
    const jobCreated = (jobId: string) =>
      expect.objectContaining({ ...parents, jobId, kind: 'change', payload: { file: `${jobId}.ts` }, priority: 0 });
    const dispatched = (jobId: string) =>
      expect.objectContaining({ ...parents, jobId, worker: 'prototype', attempt: 1 });
    expect(found).toEqual([
      {
        stream: 'mission-m1',
        type: 'MissionCreated',
        at: '2021-03-06T15:51:20.123Z',
        actor,
        data: {
          missionId: 'm1',
          title: 'Mission m1',
          description: 'What m1 is for',
          metadata: { by: 'hand' },
          tags: ['a', 'b'],
        },
      },
      {
        stream: 'task-t1',
        type: 'TaskCreated',
        at: '2021-03-07T15:51:20.000Z',
        actor,
        data: { ...parents, name: 'Task t1', description: '', kind: 'change', params: { step: 1 } },
      },
      { stream: 'job-j1', type: 'JobCreated', at: created, actor, data: jobCreated('j1') },
      { stream: 'job-j2', type: 'JobCreated', at: created, actor, data: jobCreated('j2') },
      { stream: 'job-j2', type: 'JobDispatched', at: ended, actor, data: dispatched('j2') },
      {
        stream: 'job-j2',
        type: 'JobCompleted',
        at: ended,
        actor,
        data: expect.objectContaining({ jobId: 'j2', attempt: 1, result: { ok: [1, 2.5, null] } }),
      },
      { stream: 'job-j3', type: 'JobCreated', at: created, actor, data: jobCreated('j3') },
      { stream: 'job-j3', type: 'JobDispatched', at: ended, actor, data: dispatched('j3') },
      {
        stream: 'job-j3',
        type: 'JobFailed',
        at: ended,
        actor,
        data: expect.objectContaining({ jobId: 'j3', attempt: 1, message: '{"why":"x"}', retryable: false }),
      },
    ]);
  });

  it('accepts a record that has only the required fields', async () => {
    const at = '2021-03-06T15:51:20Z';
    const folder = await legacyFolder({
      missions: [{ id: 'm', title: 'T', created_at: at }],
      tasks: [{ id: 't', mission_id: 'm', name: 'N', created_at: at }],
      jobs: [{ id: 'j', task_id: 't', status: 'done', created_at: at }],
    });
    const log = await newLog();
    expect((await importFolder(folder, log)).bad).toEqual([]);
    const events = await collect(log.readAll());
    expect(events.map(({ type }) => type)).toEqual([
      'MissionCreated',
      'TaskCreated',
      'JobCreated',
      'JobDispatched',
      'JobCompleted',
    ]);
    expect(new Set(events.map(({ metadata }) => metadata.at))).toEqual(new Set(['2021-03-06T15:51:20.000Z']));
  });

  it('cuts the message of a failure to the allowed length, but not inside a character', async () => {
    const log = await newLog();
    // In the first and the last of them, the limit of ten thousand lies inside a surrogate pair.
    const results = [`x${'😀'.repeat(5_000)}`, { a: '😀'.repeat(5_000) }, { a: `x${'😀'.repeat(5_000)}` }];
    const jobs = results.map((result, i) => job(`j${i}`, 't1', { status: 'failed', result }));
    const folder = await legacyFolder({ missions: [mission('m1')], tasks: [task('t1', 'm1')], jobs });
    expect((await importFolder(folder, log)).bad).toEqual([]);
    const messages = (await collect(log.readAll()))
      .filter(({ type }) => type === 'JobFailed')
      .map(({ data }) => data['message']);
    expect(messages).toEqual([`x${'😀'.repeat(4_999)}`, `{"a":"${'😀'.repeat(4_997)}`, `{"a":"x${'😀'.repeat(4_996)}`]);
  });

  it('reads times of any zone, and times without a zone as UTC wherever it runs', async () => {
    vi.stubEnv('TZ', 'America/New_York');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(new Date('2021-03-06T00:00:00').toISOString()).toBe('2021-03-06T05:00:00.000Z');
    const times = {
      '2021-03-06T17:51:20+02:00': '2021-03-06T15:51:20.000Z',
      '2021-03-06T15:51:20.5-00:30': '2021-03-06T16:21:20.500Z',
      '2021-03-06T15:51:20.000001': '2021-03-06T15:51:20.000Z',
      '2021-03-06T15:51:20': '2021-03-06T15:51:20.000Z',
    };
    const missions = Object.keys(times).map((created_at, i) => mission(`m${i}`, { created_at }));
    const log = await newLog();
    expect((await importFolder(await legacyFolder({ missions }), log)).bad).toEqual([]);
    expect((await collect(log.readAll())).map(({ metadata }) => metadata.at)).toEqual(Object.values(times));
  });

  it('adds nothing the second time', async () => {
    const folder = await legacyFolder(history(5, 3));
    const log = await newLog();
    const first = await importFolder(folder, log);
    const before = await contentOf(log);
    expect(first.counts).toEqual({
      'missions.jsonl': [5, 5, 0, 0],
      'tasks.jsonl': [10, 10, 0, 0],
      'jobs.jsonl': [30, 30, 0, 0],
    });
    expect((await importFolder(folder, log)).counts).toEqual({
      'missions.jsonl': [5, 0, 5, 0],
      'tasks.jsonl': [10, 0, 10, 0],
      'jobs.jsonl': [30, 0, 30, 0],
    });
    expect(await contentOf(log)).toEqual(before);
  });

  it('resumes where it was interrupted, with the same resulting log', async () => {
    const folder = await legacyFolder(history(4, 6));
    const undisturbed = await newLog();
    await importFolder(folder, undisturbed);
    const whole = await contentOf(undisturbed);
    for (const appends of [0, 1, 3, 11, 12, 40, 59]) {
      const log = await newLog();
      await expect(importFolder(folder, failingAfter(log, appends))).rejects.toMatchObject({ code: 'LOG_FULL' });
      expect((await contentOf(log)).length).toBeLessThan(whole.length);
      await importFolder(folder, log);
      expect(await contentOf(log)).toEqual(whole);
    }
  });

  it('adds new records of the files, and leaves later changes in the log', async () => {
    const log = await newLog();
    await importFolder(await legacyFolder({ missions: [mission('m1')] }), log);
    const metadata = { ...(await collect(log.readAll()))[0]!.metadata, actor: 'someone' };
    const data = { missionId: 'm1', title: 'Another title' };
    const updated = { id: '00000000-0000-4000-8000-000000000001', type: 'MissionUpdated', data, metadata };
    await log.append('mission-m1', [updated], 0n);
    const folder = await legacyFolder({ missions: [mission('m1'), mission('m2')], tasks: [task('t1', 'm1')] });
    expect((await importFolder(folder, log)).counts).toMatchObject({
      'missions.jsonl': [2, 1, 1, 0],
      'tasks.jsonl': [1, 1, 0, 0],
    });
    expect(await collect(log.readStream('mission-m1'))).toHaveLength(2);
  });

  it('recognizes its earlier records after their mission was closed, and adds nothing new to that mission', async () => {
    const log = await newLog();
    const records = { missions: [mission('m1')], tasks: [task('t1', 'm1')], jobs: [job('j1', 't1')] };
    await importFolder(await legacyFolder(records), log);
    const { metadata } = (await collect(log.readAll()))[0]!;
    const data = { missionId: 'm1', outcome: 'CANCELLED', reason: '' };
    const closed = { id: '00000000-0000-4000-8000-000000000001', type: 'MissionClosed', data, metadata };
    await log.append('mission-m1', [closed], 0n);

    const again = await legacyFolder({
      ...records,
      tasks: [task('t1', 'm1'), task('t2', 'm1')],
      jobs: [job('j1', 't1'), job('j2', 't1')],
    });
    const { counts, bad } = await importFolder(again, log);
    expect(counts).toEqual({
      'missions.jsonl': [1, 0, 1, 0],
      'tasks.jsonl': [2, 0, 1, 1],
      'jobs.jsonl': [2, 0, 1, 1],
    });
    expect(bad).toEqual([
      expect.stringMatching(/^tasks\.jsonl:2: .*'m1' is closed/),
      expect.stringMatching(/^jobs\.jsonl:2: .*'m1' is closed/),
    ]);
  });

  it('accepts empty files, and reports which do not exist', async () => {
    const log = await newLog();
    const empty = await importFolder(await legacyFolder({ missions: [], tasks: [], jobs: [] }), log);
    expect(empty.counts).toEqual({
      'missions.jsonl': [0, 0, 0, 0],
      'tasks.jsonl': [0, 0, 0, 0],
      'jobs.jsonl': [0, 0, 0, 0],
    });
    const alone = await importFolder(await legacyFolder({ missions: [mission('m1')] }), log);
    expect(alone.reports.map(({ file, missing, added }) => [file, missing, added])).toEqual([
      ['missions.jsonl', undefined, 1],
      ['tasks.jsonl', true, 0],
      ['jobs.jsonl', true, 0],
    ]);
    expect(await log.head()).toBe(1n);
  });

  it('fails when a file cannot be read, instead of skipping it', async () => {
    const folder = join(await newDataDir(), 'plain');
    await writeFile(folder, '');
    await expect(importFolder(folder, await newLog())).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it('reports its progress, in bytes of all files, up to the end', async () => {
    const { progress } = await importFolder(await legacyFolder(history(3, 2)), await newLog());
    const done = progress.map(([bytes]) => bytes);
    expect(progress).toHaveLength(3 + 6 + 12);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    const [last, total] = progress.at(-1)!;
    expect(last).toBe(total);
  });

  it('ends when its listener throws, and does not begin with the next file', async () => {
    const stop = new Stop();
    const log = await newLog();
    const folder = await legacyFolder({ missions: ['{', ...history(50, 0).missions], tasks: [task('t1', 'm1')] });
    await expect(importFolder(folder, log, stop)).rejects.toThrow('enough');
    expect(await collect(log.readStream('task-t1'))).toEqual([]);
  });
});

/** A listener that ends the import at the first bad line. */
class Stop extends Heard {
  override readonly onBadLine = (): void => {
    throw new Error('enough');
  };
}
