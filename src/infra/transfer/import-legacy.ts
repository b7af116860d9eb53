import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { missionStream, jobStream, taskStream } from '../../domain/id.js';
import type { JsonObject } from '../../domain/json.js';
import { mission, type MissionState } from '../../domain/mission.js';
import { task } from '../../domain/task.js';
import { schemaVersionOf } from '../../domain/upcast.js';
import { inputHash } from '../commands/context.js';
import type { CommandHandler } from '../commands/handler.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { derivedId } from '../platform/ids.js';
import { importLines, type Addition, type LineReader } from './import-lines.js';
import { LineError, type FileReport, type ImportListener } from './import-report.js';
import {
  jobFacts,
  legacyJob,
  legacyMission,
  legacyTask,
  missionFacts,
  readRecord,
  taskFacts,
  type DatedFact,
} from './legacy-records.js';

const ACTOR = 'import';
/** The most missions, and the most tasks, kept in memory; others are read from the log. */
const MAX_PARENTS = 100_000;

/** The files, ordered so that a record refers only to records of earlier files. */
const FILES = ['missions.jsonl', 'tasks.jsonl', 'jobs.jsonl'] as const;

/** Whether a folder is the prototype's: it has `missions.jsonl`. */
export async function isLegacyFolder(folder: string): Promise<boolean> {
  return access(join(folder, FILES[0])).then(
    () => true,
    () => false,
  );
}

/**
 * Imports the prototype's files from a folder, streaming. A record becomes the events that led to it, in one append, with
 * its own id and dates. Event ids are derived from the record's content: importing again adds nothing, and an interrupted
 * import resumes where it stopped.
 * @throws LogError when the log cannot be written
 */
export async function importLegacy(
  folder: string,
  log: EventLog,
  handler: CommandHandler,
  listener: ImportListener,
): Promise<FileReport[]> {
  const missions = remembered(async (id) => {
    const { state } = await handler.load(mission, missionStream(id));
    if (state.status === 'ABSENT') throw new LineError(`mission '${id}' does not exist`);
    return state;
  });
  const tasks = remembered(async (id) => {
    const { state } = await handler.load(task, taskStream(id));
    if (state.status === 'ABSENT') throw new LineError(`task '${id}' does not exist`);
    return state;
  });
  /** A record's mission. If it was closed since its import, it accepts no new streams, but its existing ones remain valid. */
  const missionOf = async (id: string, stream: string): Promise<MissionState> => {
    const found = await missions(id);
    if (found.status === 'OPEN' || (await isEmpty(log, stream))) return found;
    return { ...found, status: 'OPEN' };
  };

  const readers: Readonly<Record<(typeof FILES)[number], LineReader['read']>> = {
    'missions.jsonl': (value) => {
      const record = readRecord(legacyMission, value);
      return toAddition(missionStream(record.id), record, missionFacts(record));
    },
    'tasks.jsonl': async (value) => {
      const record = readRecord(legacyTask, value);
      const stream = taskStream(record.id);
      return toAddition(stream, record, taskFacts(record, await missionOf(record.mission_id, stream)));
    },
    'jobs.jsonl': async (value) => {
      const record = readRecord(legacyJob, value);
      const stream = jobStream(record.id);
      const parent = await tasks(record.task_id);
      return toAddition(stream, record, jobFacts(record, parent, await missionOf(parent.missionId, stream)));
    },
  };
  const conflict = ({ stream }: Addition) => `the log already has '${stream}', with other content`;

  const sizes = await Promise.all(FILES.map((file) => sizeOf(join(folder, file))));
  const total = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  const reports: FileReport[] = [];
  let before = 0;
  for (const [i, file] of FILES.entries()) {
    const size = sizes[i];
    if (size === undefined) {
      reports.push({ file, missing: true, read: 0, added: 0, present: 0, bad: 0, setAside: 0 });
      continue;
    }
    const onProgress = (end: number) => listener.onProgress(before + end, total);
    const reader = { read: readers[file], conflict };
    reports.push(await importLines(join(folder, file), log, reader, { ...listener, onProgress }));
    before += size;
  }
  return reports;
}

async function isEmpty(log: EventLog, stream: string): Promise<boolean> {
  for await (const _ of log.readStream(stream, { limit: 1 })) return false;
  return true;
}

/** Caches values by id, including reads in progress: many concurrent records have the same parent. */
function remembered<V extends object>(read: (id: string) => Promise<V>): (id: string) => Promise<V> {
  const known = new LRUCache<string, Promise<V>>({ max: MAX_PARENTS });
  return (id) => {
    let value = known.get(id);
    if (value === undefined) {
      value = read(id);
      known.set(id, value);
    }
    return value;
  };
}

function toAddition(stream: string, record: object, facts: readonly DatedFact[]): Addition {
  const hash = inputHash(record);
  const correlationId = `import:${hash}`;
  const events = facts.map(({ at, fact }, index) => ({
    id: derivedId(ACTOR, hash, stream, index),
    type: fact.type,
    data: fact.data as JsonObject,
    metadata: {
      at,
      actor: ACTOR,
      correlationId,
      causationId: correlationId,
      schemaVersion: schemaVersionOf(fact.type),
    },
  }));
  return { stream, events, expected: 'no-stream' };
}

/** The size of a file in bytes; undefined if it does not exist. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
