import { stat } from 'node:fs/promises';
import { canonicalJson } from '../eventlog/canonical.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { fromLine } from './exported-event.js';
import { importLines, type Addition } from './import-lines.js';
import { LineError, type FileReport, type ImportListener } from './import-report.js';

/**
 * Imports an export (NDJSON, an event a line): events keep their ids, streams and revisions, and get new positions, in
 * the order of the file. Importing again adds nothing.
 * @throws LogError when the log cannot be written
 */
export async function importLog(path: string, log: EventLog, listener: ImportListener): Promise<FileReport> {
  const { size } = await stat(path);
  const reader = {
    read(value: unknown): Addition {
      const { stream, revision, event } = fromLine(value);
      return { stream, events: [event], expected: revision === 0n ? 'no-stream' : revision - 1n };
    },
    conflict: (addition: Addition) =>
      `revision ${revisionOf(addition)} of '${addition.stream}' does not follow what the log holds, or is another event there`,
    compare: (addition: Addition) => assertSame(log, addition),
  };
  return importLines(path, log, reader, { ...listener, onProgress: (end) => listener.onProgress(end, size) });
}

/** The log knows an event it has by its id; an export that was edited may say something else of it. */
async function assertSame(log: EventLog, addition: Addition): Promise<void> {
  const [event] = addition.events;
  const from = revisionOf(addition);
  for await (const { type, data, metadata } of log.readStream(addition.stream, { from, limit: 1 })) {
    const said = { type: event?.type, data: event?.data, metadata: event?.metadata };
    if (canonicalJson({ type, data, metadata }) === canonicalJson(said)) continue;
    throw new LineError(`event ${event?.id ?? ''} is there already, with other content`);
  }
}

function revisionOf({ expected }: Addition): bigint {
  return expected === 'no-stream' ? 0n : expected + 1n;
}
