import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { LogError } from '../eventlog/errors.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { concurrently } from './concurrently.js';
import { fromLine } from './exported-event.js';
import { LineError, MAX_IN_FLIGHT, parseLine, type FileReport, type ImportListener } from './import-report.js';
import { readLines } from './lines.js';

/**
 * Imports an export (NDJSON, an event a line): events keep their ids, streams and revisions, and get new positions, in
 * the order of the file. Importing again adds nothing.
 * @throws LogError when the log cannot be written
 */
export async function importLog(path: string, log: EventLog, listener: ImportListener): Promise<FileReport> {
  const file = basename(path);
  const { size } = await stat(path);
  const headBefore = await log.head();
  const report: FileReport = { file, read: 0, added: 0, present: 0, bad: 0 };
  // Appends are judged in the order they are made, so the events of a stream may be under way together.
  await concurrently(readLines(path), MAX_IN_FLIGHT, async ({ number, text, bytes }) => {
    report.read += 1;
    try {
      const { position } = await append(log, parseLine(text));
      if (position > headBefore) report.added += 1;
      else report.present += 1;
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      report.bad += 1;
      listener.onBadLine({ file, line: number, reason: error.message });
    }
    listener.onProgress(bytes, size);
  });
  return report;
}

async function append(log: EventLog, value: unknown) {
  const { stream, revision, event } = fromLine(value);
  try {
    return await log.append(stream, [event], revision === 0n ? 'no-stream' : revision - 1n);
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    if (error.code === 'WRONG_EXPECTED_REVISION') {
      throw new LineError(`revision ${revision} of '${stream}' does not follow what the log holds: ${error.message}`);
    }
    if (error.code === 'EVENT_INVALID' || error.code === 'STREAM_TOMBSTONED') throw new LineError(error.message);
    throw error;
  }
}
