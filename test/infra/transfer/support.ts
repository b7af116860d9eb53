import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../../src/infra/clock.js';
import { CommandHandler } from '../../../src/infra/commands/handler.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { importLegacy } from '../../../src/infra/transfer/import-legacy.js';
import type { BadLine, FileReport, ImportListener } from '../../../src/infra/transfer/import-report.js';
import { newDataDir } from '../../support/core.js';

/** A line of a file: a record, or what stands there as it is. */
type Given = object | string;

/** What is in each file; a file that is not named is not there. */
export interface Records {
  readonly missions?: readonly Given[];
  readonly tasks?: readonly Given[];
  readonly jobs?: readonly Given[];
}

/** A mission as the prototype wrote it: `mission-<id>` comes from `id`. */
export function mission(id: string, given: object = {}): object {
  const fields = {
    title: `Mission ${id}`,
    description: `What ${id} is for`,
    metadata: { by: 'hand' },
    tags: ['a', 'b'],
  };
  return { id, ...fields, created_at: '2021-03-06T15:51:20.123456Z', ...given };
}

export function task(id: string, missionId: string, given: object = {}): object {
  const fields = { name: `Task ${id}`, description: '', kind: 'change', params: { step: 1 } };
  return { id, mission_id: missionId, ...fields, created_at: '2021-03-07T15:51:20.000000Z', ...given };
}

export function job(id: string, taskId: string, given: object = {}): object {
  const times = { created_at: '2021-03-08T15:51:20.000000Z', updated_at: '2021-03-09T15:51:20.000000Z' };
  return { id, task_id: taskId, payload: { file: `${id}.ts` }, status: 'pending', result: null, ...times, ...given };
}

const STATUSES = [
  { status: 'pending' },
  { status: 'done', result: { ok: true, size: 12.5 } },
  { status: 'failed', result: 'It broke — ünexpectedly' },
];

/** A tidy history of so many missions, each with two tasks, and of so many jobs a task, in all their states. */
export function history(missions: number, jobsPerTask: number): Required<Records> {
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
  const tasks = numbers(missions * 2);
  return {
    missions: numbers(missions).map((i) => mission(`m${i}`)),
    tasks: tasks.map((i) => task(`t${i}`, `m${Math.floor(i / 2)}`)),
    jobs: tasks.flatMap((t) => numbers(jobsPerTask).map((i) => job(`j${t}-${i}`, `t${t}`, STATUSES[i % 3]))),
  };
}

/** A folder of the prototype's; it goes with the test. */
export async function legacyFolder(records: Records): Promise<string> {
  const folder = join(await newDataDir(), 'prototype');
  await mkdir(folder);
  for (const [name, lines] of Object.entries(records) as [string, readonly Given[]][]) {
    const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
    await writeFile(join(folder, `${name}.jsonl`), texts.map((text) => `${text}\n`).join(''));
  }
  return folder;
}

/** Listens to an import. */
export class Heard implements ImportListener {
  readonly bad: string[] = [];
  readonly progress: [done: number, total: number][] = [];

  readonly onProgress = (done: number, total: number): void => void this.progress.push([done, total]);

  readonly onBadLine = ({ file, line, reason }: BadLine): void => void this.bad.push(`${file}:${line}: ${reason}`);
}

/** Imports a folder, as the command does. */
export async function importFolder(folder: string, log: EventLog, heard = new Heard()) {
  const reports = await importLegacy(folder, log, new CommandHandler(log, systemClock), heard);
  return { counts: countsOf(reports), bad: heard.bad, progress: heard.progress, reports };
}

/** What an import did, by file: read, added, there already, bad. */
export function countsOf(reports: readonly FileReport[]): Record<string, number[]> {
  return Object.fromEntries(reports.map(({ file, read, added, present, bad }) => [file, [read, added, present, bad]]));
}
