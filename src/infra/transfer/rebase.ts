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

/** Streams of which it is remembered what the log has of them. */
const MAX_STREAMS = 10_000;
/** What precedes an event's id in the key of the command that is judged again for it. */
const KEY_PREFIX = 'rebase:';

/**
 * Takes an export as commands: each is judged afresh, on the log at hand, at the time and by the actor it had. What is
 * refused is reported, line by line; the rest is recorded as new events. Importing again changes nothing: what is there,
 * by its own id or by the key it was taken under, is not judged again.
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
  const rejudge = new CommandReplayer(commands);
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
    const said = read(line);
    if (isSetAside(said)) return 'setAside';
    const { stream, event } = said;
    rejudge.note(said);
    if ((await taken.has(stream, event.id)) || (await taken.has(stream, origin(said)))) return 'present';
    // It was judged when those after it were, and changed nothing: by now it might undo them.
    if (mayChangeNothing(event) && line.number < (last.get(stream) ?? 0)) return 'present';
    try {
      const outcome = await rejudge.judge(said, `${KEY_PREFIX}${event.id}`);
      if (outcome.done) return outcome.recorded ? 'added' : 'present';
      // The running core's own processes may have been faster: what they record has the same id wherever they do it.
      if (await taken.has(stream, event.id)) return 'present';
      throw new LineError(outcome.problem.message);
    } catch (error) {
      if (error instanceof LogError && error.code === 'STREAM_TOMBSTONED') throw new LineError(error.message);
      throw error;
    }
  }
}

/** Whether its command may be judged to change nothing, and so leave no trace by which it would be known again. */
function mayChangeNothing({ type, data }: ExportedEvent['event']): boolean {
  if (type === 'JobFailed') return data['reason'] === LEASE_EXPIRED;
  return type === 'MissionUpdated' || type === 'TaskUpdated';
}

/** @throws LineError */
function read(line: Line): ExportedEvent {
  const said = fromLine(parseLine(line));
  if (!isSetAside(said)) assertFoldable(said);
  return said;
}

/** The id of the event that a rebase elsewhere took as this one; its own where none did. */
function origin({ event: { id, metadata } }: Pick<ExportedEvent, 'event'>): string {
  const key = metadata.idempotency?.key ?? '';
  return key.startsWith(KEY_PREFIX) ? key.slice(KEY_PREFIX.length) : id;
}

/** What describes the installation that was exported; and a hole, for what it stands for cannot be judged afresh. */
function isSetAside(said: ExportedEvent): boolean {
  return isOfInstallation(said) || said.event.type === 'HistoryHole';
}

/** The last line of each stream that the log has already, from an import that was made before. */
async function lastTaken(path: string, taken: Taken): Promise<ReadonlyMap<string, number>> {
  const last = new Map<string, number>();
  for await (const line of readLines(path)) {
    try {
      const { stream, event } = read(line);
      if (await taken.has(stream, event.id)) last.set(stream, line.number);
    } catch (error) {
      // It is reported in its turn.
      if (!(error instanceof LineError)) throw error;
    }
  }
  return last;
}

/** What a stream was found to have. */
interface Known {
  readonly ids: Set<string>;
  /** The revision to read on from. */
  next: bigint;
}

/** Which events of an export the log has: by their own ids, or by what they were taken as. */
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
      // An export of this log has it by its own id, the one that it came from by the other.
      known.ids.add(event.id).add(origin({ event }));
      known.next = event.revision + 1n;
    }
    return known.ids.has(id);
  }
}
