import { stat } from 'node:fs/promises';
import type { EventLog } from '../eventlog/eventlog.js';
import { assertFoldable, isOfInstallation } from './event-data.js';
import { fromLine } from './exported-event.js';
import { Histories } from './histories.js';
import { importLines, type Addition } from './import-lines.js';
import type { FileReport, ImportListener } from './import-report.js';

/**
 * Imports an export (NDJSON, one event per line): events keep their ids, streams and revisions, and get new positions in
 * the order of the file. Events that describe the exported installation (its hosts, its keys, what its hosts have signed
 * for) are set aside. Importing again adds nothing.
 * @throws LogError when the log cannot be written
 */
export async function importLog(path: string, log: EventLog, listener: ImportListener): Promise<FileReport> {
  const { size } = await stat(path);
  const isNew = (await log.head()) === 0n;
  const histories = new Histories(log);
  const reader = {
    async read(value: unknown): Promise<Addition | 'SET_ASIDE' | undefined> {
      const said = fromLine(value);
      if (isOfInstallation(said)) return 'SET_ASIDE';
      assertFoldable(said);
      if (!isNew && (await histories.hold(said))) return undefined;
      const { stream, revision, event } = said;
      return { stream, events: [event], expected: revision === 0n ? 'no-stream' : revision - 1n };
    },
    conflict: ({ stream, expected }: Addition) =>
      `revision ${expected === 'no-stream' ? 0 : expected + 1n} of '${stream}' does not follow the events in the log`,
  };
  return importLines(path, log, reader, { ...listener, onProgress: (end) => listener.onProgress(end, size) });
}
