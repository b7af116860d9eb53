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
/** Parents kept in memory; others are read from the log. */
const MAX_PARENTS = 100_000;

/** The files, in the order in which records refer to each other. */
const FILES = ['missions.jsonl', 'tasks.jsonl', 'jobs.jsonl'] as const;

/** Whether a folder looks like the prototype's. */
export async function isLegacyFolder(folder: string): Promise<boolean> {
  return access(join(folder, FILES[0])).then(
    () => true,
    () => false,
  );
}

/**
 * Imports the prototype's files from a folder, streaming. A record becomes the events that led to it, in one append, with
 * its own id and dates, and with event ids that follow from what it says: importing again adds nothing, and an import that
 * was cut short goes on where it was.
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
    if (state.status === 'ABSENT') throw new LineError(`mission '${id}' is not known`);
    return state;
  });
  const tasks = remembered(async (id) => {
    const { state } = await handler.load(task, taskStream(id));
    if (state.status === 'ABSENT') throw new LineError(`task '${id}' is not known`);
    return state;
  });
  /** A record's mission. One that was closed since it was imported takes nothing new, but what it has was right. */
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
  const conflict = ({ stream }: Addition) => `'${stream}' is there already, with other content`;

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

/** Remembers what was read by id, and what is being read: many records name one parent at once. */
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

/** The size of a file, if it is there. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
