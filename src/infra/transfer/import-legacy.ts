import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { missionStream, jobStream, taskStream } from '../../domain/id.js';
import type { JsonObject } from '../../domain/json.js';
import { mission } from '../../domain/mission.js';
import { task } from '../../domain/task.js';
import { schemaVersionOf } from '../../domain/upcast.js';
import type { CommandHandler } from '../commands/handler.js';
import { derivedId, inputHash } from '../commands/ids.js';
import { LogError } from '../eventlog/errors.js';
import type { EventLog, NewEvent } from '../eventlog/eventlog.js';
import { concurrently } from './concurrently.js';
import { LineError, MAX_IN_FLIGHT, parseLine, type FileReport, type ImportListener } from './import-report.js';
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
import { readLines } from './lines.js';

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
  const headBefore = await log.head();
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
  const append = async (stream: string, record: object, facts: readonly DatedFact[]): Promise<boolean> => {
    const { position } = await appendOnce(log, stream, toEvents(stream, inputHash(record), facts));
    return position > headBefore;
  };

  const takers = {
    'missions.jsonl': async (value: unknown) => {
      const record = readRecord(legacyMission, value);
      return append(missionStream(record.id), record, missionFacts(record));
    },
    'tasks.jsonl': async (value: unknown) => {
      const record = readRecord(legacyTask, value);
      const facts = taskFacts(record, await missions(record.mission_id));
      return append(taskStream(record.id), record, facts);
    },
    'jobs.jsonl': async (value: unknown) => {
      const record = readRecord(legacyJob, value);
      const parent = await tasks(record.task_id);
      return append(jobStream(record.id), record, jobFacts(record, parent, await missions(parent.missionId)));
    },
  };

  const sizes = await Promise.all(FILES.map((file) => sizeOf(join(folder, file))));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const reports: FileReport[] = [];
  let before = 0;
  for (const [i, file] of FILES.entries()) {
    const report = { file, read: 0, added: 0, present: 0, bad: 0 };
    reports.push(report);
    if (sizes[i] === 0) continue;
    await concurrently(readLines(join(folder, file)), MAX_IN_FLIGHT, async ({ number, text, bytes }) => {
      report.read += 1;
      try {
        if (await takers[file](parseLine(text))) report.added += 1;
        else report.present += 1;
      } catch (error) {
        if (!(error instanceof LineError)) throw error;
        report.bad += 1;
        listener.onBadLine({ file, line: number, reason: error.message });
      }
      listener.onProgress(before + bytes, total);
    });
    before += sizes[i] ?? 0;
  }
  return reports;
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

function toEvents(stream: string, hash: string, facts: readonly DatedFact[]): NewEvent[] {
  const correlationId = `import:${hash}`;
  return facts.map(({ at, fact }, index) => ({
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
}

/** Appends a stream's first events. The log answers for those it holds already; others in their place are an error. */
async function appendOnce(log: EventLog, stream: string, events: readonly NewEvent[]) {
  try {
    return await log.append(stream, events, 'no-stream');
  } catch (error) {
    if (error instanceof LogError && error.code === 'WRONG_EXPECTED_REVISION') {
      throw new LineError(`'${stream}' is there already, with other content`);
    }
    if (error instanceof LogError && (error.code === 'EVENT_INVALID' || error.code === 'STREAM_TOMBSTONED')) {
      throw new LineError(error.message);
    }
    throw error;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
