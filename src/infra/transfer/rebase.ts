import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { LRUCache } from 'lru-cache';
import { LEASE_EXPIRED } from '../../domain/job.js';
import type { Commands } from '../commands/commands.js';
import { LogError } from '../eventlog/errors.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { CommandReplayer } from './command-replayer.js';
import { assertFoldable, isOfInstallation } from './event-data.js';
import { fromLine, type ExportedEvent } from './exported-event.js';
import { LineError, parseLine, type FileReport, type ImportListener } from './import-report.js';
import { readLines, type Line } from './lines.js';

/** The most streams whose events in the log are remembered. */
const MAX_STREAMS = 10_000;
/** The prefix of the idempotency key of the command for an event; the event's id follows it. */
const KEY_PREFIX = 'rebase:';

/**
 * Imports an export as commands: each is decided again, on the log at hand, with its original time and actor. Refused lines
 * are reported; the others are recorded as new events. Importing again changes nothing: an event that the log has, by its
 * own id or by the idempotency key of its command, is not decided again.
 * @throws LogError when the log cannot be read or written
 */
export async function rebase(
  path: string,
  log: EventLog,
  commands: Commands,
  listener: ImportListener,
): Promise<FileReport> {
  const { size } = await stat(path);
  const report: FileReport = { file: basename(path), read: 0, added: 0, present: 0, bad: 0, setAside: 0 };
  const taken = new Taken(log);
  const last = await lastTaken(path, taken);
  const replayer = new CommandReplayer(commands);
  for await (const line of readLines(path)) {
    report.read += 1;
    try {
      report[await take(line)] += 1;
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      report.bad += 1;
      listener.onBadLine({ file: report.file, line: line.number, reason: error.message });
    }
    listener.onProgress(line.end, size);
  }
  return report;

  async function take(line: Line): Promise<'added' | 'present' | 'setAside'> {
    const exported = read(line);
    if (isSetAside(exported)) return 'setAside';
    const { stream, event } = exported;
    replayer.note(exported);
    if ((await taken.has(stream, event.id)) || (await taken.has(stream, origin(exported)))) return 'present';
    // It was decided in an earlier import and changed nothing; deciding it again could undo the events after it.
    if (mayChangeNothing(event) && line.number < (last.get(stream) ?? 0)) return 'present';
    try {
      const outcome = await replayer.replay(exported, `${KEY_PREFIX}${event.id}`);
      if (outcome.done) return outcome.recorded ? 'added' : 'present';
      // A process of the running core may have recorded it first: its events have the same id on every core.
      if (await taken.has(stream, event.id)) return 'present';
      throw new LineError(outcome.problem.message);
    } catch (error) {
      if (error instanceof LogError && error.code === 'STREAM_TOMBSTONED') throw new LineError(error.message);
      throw error;
    }
  }
}

/** Whether the command of an event may change nothing, and so leave no record that it was decided. */
function mayChangeNothing({ type, data }: ExportedEvent['event']): boolean {
  if (type === 'JobFailed') return data['reason'] === LEASE_EXPIRED;
  return type === 'MissionUpdated' || type === 'TaskUpdated';
}

/** Reads and checks the event of a line. @throws LineError */
function read(line: Line): ExportedEvent {
  const exported = fromLine(parseLine(line));
  if (!isSetAside(exported)) assertFoldable(exported);
  return exported;
}

/** The id of the exported event that a rebase recorded as this event; the event's own id if no rebase recorded it. */
function origin({ event: { id, metadata } }: Pick<ExportedEvent, 'event'>): string {
  const key = metadata.idempotency?.key ?? '';
  return key.startsWith(KEY_PREFIX) ? key.slice(KEY_PREFIX.length) : id;
}

/** Whether an event describes the exported installation, or is a hole, whose lost event cannot be decided again. */
function isSetAside(exported: ExportedEvent): boolean {
  return isOfInstallation(exported) || exported.event.type === 'HistoryHole';
}

/** For each stream, the last line whose event the log already has, from an earlier import. */
async function lastTaken(path: string, taken: Taken): Promise<ReadonlyMap<string, number>> {
  const last = new Map<string, number>();
  for await (const line of readLines(path)) {
    try {
      const { stream, event } = read(line);
      if (await taken.has(stream, event.id)) last.set(stream, line.number);
    } catch (error) {
      // A bad line is reported later, when it is imported.
      if (!(error instanceof LineError)) throw error;
    }
  }
  return last;
}

/** The events that were found in a stream. */
interface Known {
  readonly ids: Set<string>;
  /** The next revision to read. */
  next: bigint;
}

/** Finds which events of an export the log has, by their own ids or as recorded by a rebase. */
class Taken {
  readonly #log: EventLog;
  readonly #streams = new LRUCache<string, Known>({ max: MAX_STREAMS });

  constructor(log: EventLog) {
    this.#log = log;
  }

  async has(stream: string, id: string): Promise<boolean> {
    const known = this.#streams.get(stream) ?? { ids: new Set<string>(), next: 0n };
    this.#streams.set(stream, known);
    if (known.ids.has(id)) return true;
    for await (const event of this.#log.readStream(stream, { from: known.next })) {
      // An export of this log has the event by its own id, and an export of the log it came from by its original id.
      known.ids.add(event.id).add(origin({ event }));
      known.next = event.revision + 1n;
    }
    return known.ids.has(id);
  }
}
