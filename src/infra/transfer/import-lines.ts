import { basename } from 'node:path';
import { LogError, type LogErrorCode } from '../eventlog/errors.js';
import type { EventLog, ExpectedRevision, NewEvent } from '../eventlog/eventlog.js';
import { LineError, parseLine, type FileReport, type ImportListener } from './import-report.js';
import { readLines, type Line } from './lines.js';
import { mapInOrder } from './map-in-order.js';

/** Failures of the log that concern only one line. */
const LINE_FAULTS: ReadonlySet<LogErrorCode> = new Set(['EVENT_INVALID', 'STREAM_TOMBSTONED']);

/** The events to append for a line. */
export interface Addition {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: Exclude<ExpectedRevision, 'any' | 'exists'>;
}

/** How to read one kind of line. */
export interface LineReader {
  /** The events to append for a line; undefined if the log already has them. @throws LineError */
  read(value: unknown): Addition | Promise<Addition | 'SET_ASIDE' | undefined>;
  /** The reason to report when the stream is not at the expected revision. */
  conflict(addition: Addition): string;
}

/** The result of one step for a line, or the reason why the line cannot be imported. */
interface Step<R> {
  readonly line: Line;
  readonly bytes: number;
  readonly result: R | LineError;
}

/**
 * Imports a file line by line. Many lines are processed at a time, but they are appended in the order of the file: the log
 * is the same however often an import is interrupted, and of two contradicting lines the first is imported.
 * @throws LogError when the log cannot be written; any error that `onBadLine` throws
 */
export async function importLines(
  path: string,
  log: EventLog,
  reader: LineReader,
  listener: Pick<ImportListener, 'onBadLine'> & { onProgress(end: number): void },
): Promise<FileReport> {
  const file = basename(path);
  const report: FileReport = { file, read: 0, added: 0, present: 0, bad: 0, setAside: 0 };
  const additions = mapInOrder(readLines(path), (line) => step(line, async () => reader.read(parseLine(line))));
  const appended = mapInOrder(additions, ({ line, result }) =>
    step(line, async () => {
      if (result instanceof LineError) throw result;
      if (result === 'SET_ASIDE') return result;
      return result === undefined ? 0n : append(log, result, reader);
    }),
  );
  // A new event has a higher position than all before it; otherwise the log had it, perhaps from an earlier line.
  let newest = await log.head();
  for await (const { line, result } of appended) {
    report.read += 1;
    if (result instanceof LineError) {
      report.bad += 1;
      listener.onBadLine({ file, line: line.number, reason: result.message });
    } else if (result === 'SET_ASIDE') report.setAside += 1;
    else if (result > newest) {
      report.added += 1;
      newest = result;
    } else report.present += 1;
    listener.onProgress(line.end);
  }
  return report;
}

async function step<R>(line: Line, work: () => Promise<R>): Promise<Step<R>> {
  const { bytes } = line;
  try {
    return { line, bytes, result: await work() };
  } catch (error) {
    if (error instanceof LineError) return { line, bytes, result: error };
    if (error instanceof LogError && LINE_FAULTS.has(error.code)) {
      return { line, bytes, result: new LineError(error.message) };
    }
    throw error;
  }
}

/**
 * Appends and returns the position of the last event, also if the log already has these events.
 * @throws LineError when the log has other events in their place
 */
async function append(log: EventLog, addition: Addition, reader: LineReader): Promise<bigint> {
  const { stream, events, expected } = addition;
  try {
    return (await log.append(stream, events, expected)).position;
  } catch (error) {
    if (error instanceof LogError && error.code === 'WRONG_EXPECTED_REVISION') {
      throw new LineError(reader.conflict(addition));
    }
    throw error;
  }
}
