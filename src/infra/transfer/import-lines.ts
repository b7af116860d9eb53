import { basename } from 'node:path';
import { LogError, type LogErrorCode } from '../eventlog/errors.js';
import type { EventLog, ExpectedRevision, NewEvent } from '../eventlog/eventlog.js';
import { LineError, parseLine, type FileReport, type ImportListener } from './import-report.js';
import { readLines, type Line } from './lines.js';
import { mapInOrder } from './map-in-order.js';

/** Failures of the log that are a line's own, and no other's. */
const LINE_FAULTS: ReadonlySet<LogErrorCode> = new Set(['EVENT_INVALID', 'STREAM_TOMBSTONED']);

/** What a line asks to be appended. */
export interface Addition {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: Exclude<ExpectedRevision, 'any' | 'exists'>;
}

/** What an importer knows of its kind of line. */
export interface LineReader {
  /** What a line asks for; nothing when the log holds it already. @throws LineError */
  read(value: unknown): Addition | Promise<Addition | 'SET_ASIDE' | undefined>;
  /** What the log's refusal to append means. */
  conflict(addition: Addition): string;
}

/** How far a line has got: what it came to, or why it cannot be taken. */
interface Step<R> {
  readonly line: Line;
  readonly bytes: number;
  readonly result: R | LineError;
}

/**
 * Imports a file line by line. Many lines are under way at a time, yet they are appended in the order of the file: the
 * log comes out the same however often an import is cut short, and of two lines that contradict each other the first holds.
 * @throws LogError when the log cannot be written
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
  // What is new comes after all before it; what does not was there, if only since an earlier line.
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

/** Appends, and answers with the position. The log answers for events it holds already; others in their place are an error. */
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
