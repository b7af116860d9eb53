import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { collect } from '../../support/events.js';
import { newLog } from '../projector/support.js';
import { importFolder, job, legacyFolder, mission, task } from './support.js';

const LONG = 4 * 1024 * 1024;

/** Imports missions of which the first and the last are valid; returns what was reported about those between. */
async function reasonsFor(lines: readonly (object | string)[]): Promise<string[]> {
  const log = await newLog();
  const folder = await legacyFolder({ missions: [mission('first'), ...lines, mission('last')] });
  const { counts, bad } = await importFolder(folder, log);
  expect(counts['missions.jsonl']).toEqual([lines.length + 2, 2, 0, lines.length]);
  expect((await collect(log.readAll())).map(({ stream }) => stream)).toEqual(['mission-first', 'mission-last']);
  return bad.map((message, i) => {
    const place = `missions.jsonl:${i + 2}: `;
    expect(message.slice(0, place.length)).toBe(place);
    return message.slice(place.length);
  });
}

describe('a bad line is reported with its place and reason, and the rest is imported', () => {
  it('when it is not JSON, or not an object', async () => {
    const reasons = await reasonsFor(['{"id": "m1", "title', 'nonsense', '[]', '"text"', '17', 'null', '{} {}']);
    expect(reasons).toEqual([
      expect.stringContaining('not JSON'),
      expect.stringContaining('not JSON'),
      expect.stringMatching(/^line: /),
      expect.stringMatching(/^line: /),
      expect.stringMatching(/^line: /),
      expect.stringMatching(/^line: /),
      expect.stringContaining('not JSON'),
    ]);
  });

  it('when fields are missing: it names all of them', async () => {
    const [nothing, untitled] = await reasonsFor([{}, mission('m1', { title: undefined })]);
    expect(nothing).toMatch(/^id: .*; title: .*; created_at: /);
    expect(untitled).toBe('title: must be text');
  });

  it('when fields are of other types, or null', async () => {
    const wrong = [
      { id: 7 },
      { title: null },
      { description: null },
      { metadata: [] },
      { tags: 'a' },
      { tags: ['a', 1] },
      { created_at: 1_600_000_000 },
    ];
    const reasons = await reasonsFor(wrong.map((given) => mission('m1', given)));
    expect(reasons.map((reason) => reason.split(':')[0])).toEqual([
      'id',
      'title',
      'description',
      'metadata',
      'tags',
      'tags.1',
      'created_at',
    ]);
  });

  it('when a time is invalid', async () => {
    const times = ['', '1', 'yesterday', '2021-03-06', '2021-02-30T00:00:00Z', '2021-03-06T25:00:00Z', '06/03/2021'];
    const reasons = await reasonsFor(times.map((created_at) => mission('m1', { created_at })));
    expect(new Set(reasons)).toEqual(new Set(['created_at: must be a time such as 2021-03-06T15:51:20Z']));
  });

  it('when the year of a time does not have four digits', async () => {
    const reasons = await reasonsFor([mission('m1', { created_at: '9999-12-31T23:59:59-01:00' })]);
    expect(reasons).toEqual(['created_at: must be a time in UTC such as 2026-01-01T00:00:00.000Z']);
  });

  it('when it breaks a rule of missions', async () => {
    const wrong = [
      { id: '' },
      { id: 'a/b' },
      { id: 'x'.repeat(65) },
      { title: '' },
      { title: 'x'.repeat(201) },
      { description: 'x'.repeat(10_001) },
      { tags: Array.from({ length: 33 }, (_, i) => `t${i}`) },
      { metadata: { text: 'x'.repeat(65 * 1024) } },
    ];
    const reasons = await reasonsFor(wrong.map((given) => mission('m1', given)));
    const fields = ['id', 'id', 'id', 'title', 'title', 'description', 'tags', 'metadata'];
    expect(reasons.map((reason) => reason.split(':')[0])).toEqual(fields);
  });

  it('when it contains text that UTF-8 cannot encode, or is nested too deep', async () => {
    const text = JSON.stringify(mission('m1', { metadata: { a: 'HERE' } }));
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const reasons = await reasonsFor([text.replace('HERE', '\\ud800'), text.replace('"HERE"', deep)]);
    expect(reasons).toEqual([expect.stringContaining('metadata'), expect.stringContaining('metadata')]);
  });

  it('when it is longer than 4 MiB', async () => {
    const reasons = await reasonsFor([mission('m1', { description: 'x'.repeat(LONG) }), 'y'.repeat(LONG + 1)]);
    expect(reasons).toEqual(['the line is longer than 4 MiB', 'the line is longer than 4 MiB']);
  });

  it('when its bytes are not UTF-8, instead of being imported as something else', async () => {
    const log = await newLog();
    const folder = await legacyFolder({ missions: [mission('m1')] });
    const latin1 = Buffer.from(`${JSON.stringify(mission('m2', { title: 'Zürich' }))}\n`, 'latin1');
    await appendFile(join(folder, 'missions.jsonl'), latin1);
    const { counts, bad } = await importFolder(folder, log);
    expect(counts['missions.jsonl']).toEqual([2, 1, 0, 1]);
    expect(bad).toEqual(['missions.jsonl:2: the line is not UTF-8']);
  });

  it('when its mission or task does not exist', async () => {
    const log = await newLog();
    const folder = await legacyFolder({
      missions: [mission('m1')],
      tasks: [task('t1', 'm1'), task('t2', 'nowhere'), task('t3', '')],
      jobs: [job('j1', 't1'), job('j2', 't2'), job('j3', 'nowhere'), job('j4', 't1')],
    });
    const { counts, bad } = await importFolder(folder, log);
    expect(counts).toMatchObject({ 'tasks.jsonl': [3, 1, 0, 2], 'jobs.jsonl': [4, 2, 0, 2] });
    expect(bad).toEqual([
      "tasks.jsonl:2: mission 'nowhere' does not exist",
      "tasks.jsonl:3: mission '' does not exist",
      "jobs.jsonl:2: task 't2' does not exist",
      "jobs.jsonl:3: task 'nowhere' does not exist",
    ]);
  });

  it('when a job has another status, or a task no name', async () => {
    const folder = await legacyFolder({
      missions: [mission('m1')],
      tasks: [task('t1', 'm1'), task('t2', 'm1', { name: '' }), task('t3', 'm1', { params: 'x' })],
      jobs: [job('j1', 't1', { status: 'running' }), job('j2', 't1', { status: undefined }), job('j3', 't1')],
    });
    const { bad } = await importFolder(folder, await newLog());
    expect(bad).toEqual([
      expect.stringMatching(/^tasks\.jsonl:2: name: /),
      'tasks.jsonl:3: params: must be a JSON object',
      'jobs.jsonl:1: status: must be pending, done or failed',
      'jobs.jsonl:2: status: must be pending, done or failed',
    ]);
  });
});

describe('an id that occurs twice', () => {
  it('counts as already in the log when both lines have the same content, in any order of members', async () => {
    const log = await newLog();
    const fields = Object.entries(mission('m1')).reverse();
    const folder = await legacyFolder({
      missions: [mission('m1'), mission('m2'), mission('m1'), Object.fromEntries(fields), mission('m2')],
    });
    expect((await importFolder(folder, log)).counts['missions.jsonl']).toEqual([5, 2, 3, 0]);
    expect(await log.head()).toBe(2n);
  });

  it('is refused the second time when the lines differ: the first line is imported, now and in later imports', async () => {
    const records = {
      missions: [mission('m1'), mission('m2'), mission('m2', { title: 'Other' })],
      tasks: [task('t1', 'm1'), task('t1', 'm2'), task('t2', 'm2')],
      jobs: [job('j1', 't2', { status: 'done' }), job('j1', 't1'), job('j1', 't2', { status: 'done' })],
    };
    const bad = [
      "missions.jsonl:3: the log already has 'mission-m2', with other content",
      "tasks.jsonl:2: the log already has 'task-t1', with other content",
      "jobs.jsonl:2: the log already has 'job-j1', with other content",
    ];
    const log = await newLog();
    const folder = await legacyFolder(records);
    const first = await importFolder(folder, log);
    expect(first.bad).toEqual(bad);
    expect(first.counts['jobs.jsonl']).toEqual([3, 1, 1, 1]);
    const again = await importFolder(folder, log);
    expect(again.bad).toEqual(bad);
    expect(again.counts['jobs.jsonl']).toEqual([3, 0, 2, 1]);
    const [created] = await collect(log.readStream('task-t1'));
    expect(created?.data['missionId']).toBe('m1');
  });
});

describe('a file written by other systems', () => {
  it('is imported with a byte order mark, CRLF, blank lines and no end to the last line', async () => {
    const log = await newLog();
    const folder = await legacyFolder({ tasks: [task('t1', 'm1')], jobs: [] });
    const lines = [
      '',
      JSON.stringify(mission('m1')),
      ' ',
      JSON.stringify(mission('m2')),
      '{',
      JSON.stringify(mission('m3')),
    ];
    await writeFile(join(folder, 'missions.jsonl'), `\uFEFF${lines.slice(1).join('\r\n')}`);
    const { counts, bad } = await importFolder(folder, log);
    expect(counts).toEqual({
      'missions.jsonl': [4, 3, 0, 1],
      'tasks.jsonl': [1, 1, 0, 0],
      'jobs.jsonl': [0, 0, 0, 0],
    });
    expect(bad).toEqual([expect.stringMatching(/^missions\.jsonl:4: the line is not JSON/)]);
  });
});
