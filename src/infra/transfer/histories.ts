import { LRUCache } from 'lru-cache';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { type EventLog, lastRevision } from '../eventlog/eventlog.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError } from './import-report.js';

/** Streams of which it is remembered how far the log had them. */
const MAX_STREAMS = 100_000;

interface Stream {
  /** The revision of the last event the log had when the import came to the stream; −1 for none. */
  readonly end: Promise<bigint>;
  /** The lines of a stream are judged one after the other. */
  judged: Promise<unknown>;
}

/**
 * The streams of a log that an export is imported into, compared with what the export says of them. Where both have
 * events at one revision they must be the same; a stream that has become another one takes no more of the export's events.
 */
export class Histories {
  readonly #log: EventLog;
  readonly #streams = new LRUCache<string, Stream>({ max: MAX_STREAMS });
  readonly #diverged = new Set<string>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** Whether the log holds an event already. @throws LineError when it holds another one in its place */
  hold(said: ExportedEvent): Promise<boolean> {
    let stream = this.#streams.get(said.stream);
    if (stream === undefined) {
      stream = { end: lastRevision(this.#log, said.stream), judged: Promise.resolve() };
      this.#streams.set(said.stream, stream);
    }
    const { end, judged: before } = stream;
    const held = before.then(() => this.#judge(said, end));
    stream.judged = held.catch(() => undefined);
    return held;
  }

  async #judge({ stream, revision, event }: ExportedEvent, end: Promise<bigint>): Promise<boolean> {
    if (this.#diverged.has(stream))
      throw new LineError(`'${stream}' has other events in the log, from an earlier line on`);
    if (revision > (await end)) return false;
    for await (const held of this.#log.readStream(stream, { from: revision, limit: 1 })) {
      if (held.revision !== revision) break;
      if (held.id !== event.id) {
        this.#diverged.add(stream);
        throw new LineError(`'${stream}' has another event in the log at revision ${revision}: ${held.id}`);
      }
      const { id, type, data, metadata } = held;
      if (canonicalJson({ id, type, data, metadata }) === canonicalJson(event)) return true;
      throw new LineError(`event ${id} is there already, with other content`);
    }
    return false;
  }
}
