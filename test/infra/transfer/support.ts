import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { CommandHandler } from '../../../src/infra/commands/handler.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { importLegacy } from '../../../src/infra/transfer/import-legacy.js';
import type { BadLine, FileReport, ImportListener } from '../../../src/infra/transfer/import-report.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { collect } from '../../support/events.js';

/** A line of a file: a record, or literal text. */
type Given = object | string;

/** The lines of each file; a file that is not named does not exist. */
export interface Records {
  readonly missions?: readonly Given[];
  readonly tasks?: readonly Given[];
  readonly jobs?: readonly Given[];
}

/** The prototype's record of a mission: `id` gives the stream `mission-<id>`. */
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

/** A valid history of a number of missions, each with two tasks, and a number of jobs per task, in all states. */
export function history(missions: number, jobsPerTask: number): Required<Records> {
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
  const tasks = numbers(missions * 2);
  return {
    missions: numbers(missions).map((i) => mission(`m${i}`)),
    tasks: tasks.map((i) => task(`t${i}`, `m${Math.floor(i / 2)}`)),
    jobs: tasks.flatMap((t) => numbers(jobsPerTask).map((i) => job(`j${t}-${i}`, `t${t}`, STATUSES[i % 3]))),
  };
}

/** A folder with the prototype's files, removed after the test. */
export async function legacyFolder(records: Records): Promise<string> {
  const folder = join(await newDataDir(), 'prototype');
  await mkdir(folder);
  for (const [name, lines] of Object.entries(records) as [string, readonly Given[]][]) {
    const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
    await writeFile(join(folder, `${name}.jsonl`), texts.map((text) => `${text}\n`).join(''));
  }
  return folder;
}

/** Records the progress and bad lines of an import. */
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

/** The counts of an import, by file: read, added, present, bad. */
export function countsOf(reports: readonly FileReport[]): Record<string, number[]> {
  return Object.fromEntries(reports.map(({ file, read, added, present, bad }) => [file, [read, added, present, bad]]));
}

/** Uses the log of a data folder, possibly a new one, from this process. */
export async function withLogOf<R>(dataDir: string, use: (log: EmbeddedLog) => Promise<R>): Promise<R> {
  const paths = corePaths(dataDir);
  await mkdir(paths.folder, { recursive: true });
  const log = await EmbeddedLog.open(paths.log, systemClock);
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

/** A data folder whose log has a history; no process uses it. */
export async function dataDirOf(records: Records): Promise<string> {
  const dataDir = await newDataDir();
  const folder = await legacyFolder(records);
  await withLogOf(dataDir, (log) => importFolder(folder, log));
  return dataDir;
}

/** The parts of the events in a data folder's log that are the same in every log. */
export function eventsOf(dataDir: string) {
  return withLogOf(dataDir, async (log) =>
    (await collect(log.readAll())).map(({ recordedAt: _, position: __, ...event }) => event),
  );
}

const PROGRESS = /^(import|export|replay|verify|copy|repair|restore|verify source|verify target): \d+% · /;

/** Runs a command to its end. Progress lines are excluded, because only a slow machine prints them. */
export async function sheratan(...given: Parameters<typeof Sheratan.run>): ReturnType<typeof Sheratan.run> {
  const { errors, ...rest } = await Sheratan.run(...given);
  return { ...rest, errors: errors.filter((line) => !PROGRESS.test(line)) };
}

/** A port of the loopback interface that is in use until the end of the test. */
export async function takenPort(): Promise<number> {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
