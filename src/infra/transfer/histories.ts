import { LRUCache } from 'lru-cache';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { type EventLog, lastRevision } from '../eventlog/eventlog.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError } from './import-report.js';

/** The most streams whose end in the log is remembered. */
const MAX_STREAMS = 100_000;

interface Stream {
  /** The revision of the last event that the log had when the import reached the stream; −1 for none. */
  readonly end: Promise<bigint>;
  /** The check of the last line: the lines of a stream are checked in sequence. */
  checked: Promise<unknown>;
}

/**
 * Compares an export with the streams of the log that it is imported into. If both have an event at the same revision,
 * the events must be equal; once a stream differs, it accepts no more events of the export.
 */
export class Histories {
  readonly #log: EventLog;
  readonly #streams = new LRUCache<string, Stream>({ max: MAX_STREAMS });
  readonly #diverged = new Set<string>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** Whether the log already has an event. @throws LineError when it has another one in its place; LogError */
  hold(exported: ExportedEvent): Promise<boolean> {
    let stream = this.#streams.get(exported.stream);
    if (stream === undefined) {
      stream = { end: lastRevision(this.#log, exported.stream), checked: Promise.resolve() };
      this.#streams.set(exported.stream, stream);
    }
    const { end, checked: before } = stream;
    const held = before.then(() => this.#check(exported, end));
    stream.checked = held.catch(() => undefined);
    return held;
  }

  async #check({ stream, revision, event }: ExportedEvent, end: Promise<bigint>): Promise<boolean> {
    if (this.#diverged.has(stream))
      throw new LineError(`'${stream}' has other events in the log, beginning at an earlier line`);
    if (revision > (await end)) return false;
    for await (const held of this.#log.readStream(stream, { from: revision, limit: 1 })) {
      if (held.revision !== revision) break;
      if (held.id !== event.id) {
        this.#diverged.add(stream);
        throw new LineError(`'${stream}' has another event in the log at revision ${revision}: ${held.id}`);
      }
      const { id, type, data, metadata } = held;
      if (canonicalJson({ id, type, data, metadata }) === canonicalJson(event)) return true;
      throw new LineError(`the log already has event ${id}, with other content`);
    }
    return false;
  }
}
