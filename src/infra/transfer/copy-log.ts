import { createHash } from 'node:crypto';
import type { RecordedEvent } from '../../domain/event.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { WrongExpectedRevision } from '../eventlog/errors.js';
import type { Append, EventLog, ExpectedRevision, NewEvent } from '../eventlog/eventlog.js';

/** The most events in one append. */
const MAX_RUN_EVENTS = 100;
/** The most bytes (estimated) in one append: what a server accepts by default. */
const MAX_RUN_BYTES = 512 * 1024;
/** The most events in one call of `appendAll`. */
const MAX_PAGE_EVENTS = 1_000;
/** The most bytes (estimated) in one call of `appendAll`. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** Receives the progress of a copy or a digest, in positions of the log that is read. */
export type ProgressListener = (position: bigint, head: bigint) => void;

/** The result of a copy. */
export interface Copied {
  /** The number of events that this call copied. */
  readonly copied: number;
  /** The end of the source when the copy began: the copy extends to here. */
  readonly head: bigint;
}

/** A copy that was verified. */
export interface VerifiedCopy {
  readonly source: LogDigest;
  readonly target: LogDigest;
  readonly isSame: boolean;
}

/** Receives the progress of a verified copy. */
export interface CopyListener {
  /** In positions of the log that is read. */
  readonly onProgress: (part: 'copy' | 'verify source' | 'verify target', position: bigint, head: bigint) => void;
  /** The copy is complete and is verified next. @param end the end of the target */
  readonly onCopied: (copied: Copied, end: bigint) => void;
}

/** A log cannot be copied into another; the message states the reason and what to do. */
export class CopyError extends Error {
  override readonly name = 'CopyError';
}

/** A digest of a log's events: equal for two logs with the same events in the same order. */
export interface LogDigest {
  readonly events: number;
  /** SHA-256 in hex over the events in order, each as canonical JSON without position and recording time. */
  readonly digest: string;
}

/**
 * Copies the events of a log into one that is empty or has the same first events: an interrupted copy resumes where it
 * stopped. Events keep their ids, streams, revisions and order; the target assigns its own positions.
 * @throws CopyError when the target has other events, or the beginning of a stream was truncated in the source; LogError
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

/** Copies a log, then reads both logs again and compares their digests. @throws CopyError, LogError */
export async function copyVerified(
  source: EventLog,
  target: EventLog,
  { onProgress, onCopied }: CopyListener,
): Promise<VerifiedCopy> {
  const copied = await copyLog(source, target, (position, head) => onProgress('copy', position, head));
  const end = await target.head();
  onCopied(copied, end);
  const ours = await digestLog(source, copied.head, (at, head) => onProgress('verify source', at, head));
  const theirs = await digestLog(target, end, (at, head) => onProgress('verify target', at, head));
  return { source: ours, target: theirs, isSame: ours.digest === theirs.digest };
}

/** An event of a log, without its position. */
export type HistoryEvent = NewEvent & Pick<RecordedEvent, 'stream' | 'revision'>;

/**
 * Appends a history in its order, and keeps ids, streams and revisions. Yields each page when it is durable; the next page
 * is prepared meanwhile.
 * @throws CopyError when a revision does not follow the events in the target; LogError
 */
export async function* appendHistory<E extends HistoryEvent>(
  history: AsyncIterable<readonly E[]>,
  target: EventLog,
): AsyncIterable<readonly E[]> {
  let underWay: Promise<readonly E[]> | undefined;
  try {
    for await (const page of history) {
      // One page at a time, to keep their order.
      if (underWay !== undefined) yield await underWay;
      underWay = appendPage(page, target);
      // It is awaited later; this avoids an unhandled rejection until then.
      underWay.catch(() => undefined);
    }
    if (underWay !== undefined) yield await underWay;
  } finally {
    await underWay?.catch(() => undefined);
  }
}

/** Computes the digest of a log up to a position (inclusive). @throws LogError */
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
 * The position in the source of the last event that the target has; 0 if the target is empty.
 * @throws CopyError unless the target's events are the first events of the source, without a gap
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
          `The target does not have the same first events as the source: event ${number} differs. Copy into an empty log, or one that an earlier copy of this source began.`,
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
      `Revision ${revision} of '${error.stream}' does not follow the events in the target: another process writes to the target, or the beginning of the stream was truncated in the source, which cannot be copied.`,
      { cause: error },
    );
  }
}

/** Consecutive events of one stream, to be appended together. */
class Run implements Append {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly events: HistoryEvent[];
  #next: bigint;
  /** Not computed for a run of one event, as most are. */
  #bytes: number | undefined;

  constructor(first: HistoryEvent) {
    const { stream, revision } = first;
    this.stream = stream;
    this.expected = revision === 0n ? 'no-stream' : revision - 1n;
    this.events = [first];
    this.#next = revision + 1n;
  }

  /** Adds an event if it continues the run and there is room. Returns whether it was added. */
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

/** The memory of an event while it is copied, in bytes (estimated). */
function bytesOf({ data, metadata }: HistoryEvent): number {
  return 2 * (JSON.stringify(data).length + JSON.stringify(metadata).length);
}
