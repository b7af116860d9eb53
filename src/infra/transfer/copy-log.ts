import { createHash } from 'node:crypto';
import type { RecordedEvent } from '../../domain/event.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { WrongExpectedRevision } from '../eventlog/errors.js';
import type { Append, EventLog, ExpectedRevision, NewEvent } from '../eventlog/eventlog.js';

/** The most events of one append, and bytes of them (estimated): what a server takes unless told. */
const MAX_RUN_EVENTS = 100;
const MAX_RUN_BYTES = 512 * 1024;
/** The most events that are handed over together, and bytes of them (estimated). */
const MAX_PAGE_EVENTS = 1_000;
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** How far a copy or a digest is, in positions of the log that is read. */
export type ProgressListener = (position: bigint, head: bigint) => void;

/** What a copy came to. */
export interface Copied {
  /** Events copied now. */
  readonly copied: number;
  /** The end of the source when it began: what was copied. */
  readonly head: bigint;
}

/** A log cannot be copied into another; the message says why, and what to do. */
export class CopyError extends Error {
  override readonly name = 'CopyError';
}

/** What a log holds, in one word: the same for two logs that tell the same events in the same order. */
export interface LogDigest {
  readonly events: number;
  /** SHA-256 over the events in order, each as canonical JSON without its position and when it was recorded; hex. */
  readonly digest: string;
}

/**
 * Copies the events of a log into one that is empty or holds the beginning of it: a copy that was cut short goes on where
 * it was. Events keep ids, streams and revisions, and their order; positions are the target's own.
 * @throws CopyError when the target holds other events, or a stream's beginning is gone; LogError
 */
export async function copyLog(source: EventLog, target: EventLog, onProgress: ProgressListener): Promise<Copied> {
  const head = await source.head();
  const after = await whereToGoOn(source, target, (position) => onProgress(position, head));
  let copied = 0;
  for await (const page of appendHistory(pages(upTo(source, after, head)), target)) {
    copied += page.length;
    onProgress(page.at(-1)?.position ?? head, head);
  }
  return { copied, head };
}

/** An event as a log had it, but for its place there. */
export type HistoryEvent = NewEvent & Pick<RecordedEvent, 'stream' | 'revision'>;

/**
 * Appends a history, in its order, keeping ids, streams and revisions. Yields what is durable, page by page; the next
 * page is prepared while one becomes so.
 * @throws CopyError where a revision does not follow what the target holds; LogError
 */
export async function* appendHistory<E extends HistoryEvent>(
  history: AsyncIterable<readonly E[]>,
  target: EventLog,
): AsyncIterable<readonly E[]> {
  let underWay: Promise<readonly E[]> | undefined;
  try {
    for await (const page of history) {
      // One at a time: the order is that of the pages.
      if (underWay !== undefined) yield await underWay;
      underWay = appendPage(page, target);
      // It is awaited in its turn; until then a failure is nobody's.
      underWay.catch(() => undefined);
    }
    if (underWay !== undefined) yield await underWay;
  } finally {
    await underWay?.catch(() => undefined);
  }
}

/** Reads a log up to a position, and says what it holds. */
export async function digestLog(log: EventLog, until: bigint, onProgress: ProgressListener): Promise<LogDigest> {
  const hash = createHash('sha256');
  let events = 0;
  for await (const event of upTo(log, 0n, until)) {
    const { id, stream, type, data, metadata } = event;
    hash.update(canonicalJson({ id, stream, revision: event.revision.toString(), type, data, metadata }));
    hash.update('\n');
    events += 1;
    onProgress(event.position, until);
  }
  return { events, digest: hash.digest('hex') };
}

/**
 * The position in the source of the last event that the target has.
 * @throws CopyError unless the target has what the source begins with, and no gap
 */
async function whereToGoOn(source: EventLog, target: EventLog, onSame: (position: bigint) => void): Promise<bigint> {
  const ours = source.readAll()[Symbol.asyncIterator]();
  let [position, number] = [0n, 0];
  try {
    for await (const { id, stream, revision } of target.readAll()) {
      number += 1;
      const { value } = (await ours.next()) as IteratorResult<RecordedEvent, undefined>;
      if (value?.id !== id || value.stream !== stream || value.revision !== revision)
        throw new CopyError(
          `The target does not hold what the source begins with: event ${number} is another. Copy into an empty log, or one that a copy of this source began.`,
        );
      position = value.position;
      onSame(position);
    }
  } finally {
    await ours.return?.();
  }
  return position;
}

async function* upTo(log: EventLog, after: bigint, head: bigint): AsyncIterable<RecordedEvent> {
  if (after >= head) return;
  for await (const event of log.readAll({ after })) {
    if (event.position > head) return;
    yield event;
  }
}

/** Cuts a history into pages. */
async function* pages<E extends HistoryEvent>(history: AsyncIterable<E>): AsyncIterable<readonly E[]> {
  let page: E[] = [];
  let bytes = 0;
  for await (const event of history) {
    const size = bytesOf(event);
    if (page.length > 0 && (page.length >= MAX_PAGE_EVENTS || bytes + size > MAX_PAGE_BYTES)) {
      yield page;
      [page, bytes] = [[], 0];
    }
    page.push(event);
    bytes += size;
  }
  if (page.length > 0) yield page;
}

async function appendPage<E extends HistoryEvent>(page: readonly E[], target: EventLog): Promise<readonly E[]> {
  try {
    await target.appendAll(runs(page));
    return page;
  } catch (error) {
    if (!(error instanceof WrongExpectedRevision)) throw error;
    const revision = typeof error.expected === 'bigint' ? error.expected + 1n : 0n;
    throw new CopyError(
      `Revision ${revision} of '${error.stream}' does not follow what the target holds: somebody else writes to the target, or the stream's beginning was truncated in the source, which cannot be copied.`,
      { cause: error },
    );
  }
}

/** Events of one stream that come one after the other, to be appended together. */
class Run implements Append {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly events: HistoryEvent[];
  #next: bigint;
  /** Of a run of one, which most are, it is not worked out. */
  #bytes: number | undefined;

  constructor(first: HistoryEvent) {
    const { stream, revision } = first;
    this.stream = stream;
    this.expected = revision === 0n ? 'no-stream' : revision - 1n;
    this.events = [first];
    this.#next = revision + 1n;
  }

  /** Takes the event that goes on with it, if there is room. */
  takes(event: HistoryEvent): boolean {
    if (event.stream !== this.stream || event.revision !== this.#next) return false;
    if (this.events.length >= MAX_RUN_EVENTS) return false;
    this.#bytes ??= this.events.reduce((sum, before) => sum + bytesOf(before), 0);
    this.#bytes += bytesOf(event);
    if (this.#bytes > MAX_RUN_BYTES) return false;
    this.events.push(event);
    this.#next += 1n;
    return true;
  }
}

function runs(page: readonly HistoryEvent[]): readonly Run[] {
  const found: Run[] = [];
  for (const event of page) if (found.at(-1)?.takes(event) !== true) found.push(new Run(event));
  return found;
}

/** What an event takes while it is under way, in bytes (estimated). */
function bytesOf({ data, metadata }: HistoryEvent): number {
  return 2 * (JSON.stringify(data).length + JSON.stringify(metadata).length);
}
