import { createHash } from 'node:crypto';
import type { RecordedEvent } from '../../domain/event.js';
import { canonicalJson } from '../eventlog/canonical.js';
import { LogError } from '../eventlog/errors.js';
import type { EventLog, NewEvent } from '../eventlog/eventlog.js';
import { inOrder } from './in-order.js';

/** The most events, and bytes of them (estimated), that are appended together: what a server takes unless told. */
const MAX_RUN_EVENTS = 100;
const MAX_RUN_BYTES = 512 * 1024;

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
  const after = await whereToGoOn(source, target);
  let copied = 0;
  for await (const { events, last } of appendHistory(upTo(source, after, head), target)) {
    copied += events.length;
    onProgress(last.position, head);
  }
  return { copied, head };
}

/** An event as a log had it, but for its place there. */
export type HistoryEvent = NewEvent &
  Pick<RecordedEvent, 'stream' | 'revision'> & {
    /** What it takes in memory, in bytes, where that is known; otherwise it is estimated. */
    readonly bytes?: number;
  };

/**
 * Appends a history, in its order, keeping ids, streams and revisions. Yields what is durable.
 * @throws CopyError where a revision does not follow what the target holds; LogError
 */
export function appendHistory<E extends HistoryEvent>(
  history: AsyncIterable<E>,
  target: EventLog,
): AsyncIterable<Run<E>> {
  return inOrder(runs(history), async (run) => {
    await append(target, run);
    return run;
  });
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

/** The position in the source of the last event that the target has. */
async function whereToGoOn(source: EventLog, target: EventLog): Promise<bigint> {
  const end = await target.head();
  if (end === 0n) return 0n;
  let last: RecordedEvent | undefined;
  for await (const event of target.readAll({ after: end - 1n })) last = event;
  if (last !== undefined) {
    const { stream, revision, id } = last;
    for await (const event of source.readStream(stream, { from: revision, limit: 1 })) {
      if (event.id === id && event.revision === revision) return event.position;
    }
  }
  throw new CopyError(
    'The target holds events that the source has not. Copy into an empty log, or one that a copy of this source began.',
  );
}

async function* upTo(log: EventLog, after: bigint, head: bigint): AsyncIterable<RecordedEvent> {
  if (after >= head) return;
  for await (const event of log.readAll({ after })) {
    if (event.position > head) return;
    yield event;
  }
}

/** Events of one stream that come one after the other, to be appended together. */
export interface Run<E> {
  readonly events: readonly NewEvent[];
  readonly first: E;
  readonly last: E;
  /** What they take while they are under way, in bytes (estimated). */
  readonly bytes: number;
}

/** Cuts a history into runs; the order stays. */
async function* runs<E extends HistoryEvent>(history: AsyncIterable<E>): AsyncIterable<Run<E>> {
  let run: Run<E> | undefined;
  for await (const event of history) {
    const { stream, revision, id, type, data, metadata } = event;
    const bytes = event.bytes ?? 2 * (JSON.stringify(data).length + JSON.stringify(metadata).length);
    const goesOn =
      run?.last.stream === stream &&
      run.last.revision === revision - 1n &&
      run.events.length < MAX_RUN_EVENTS &&
      run.bytes + bytes <= MAX_RUN_BYTES;
    if (run !== undefined && !goesOn) yield run;
    const before: Run<E> = run !== undefined && goesOn ? run : { events: [], first: event, last: event, bytes: 0 };
    const events = [...before.events, { id, type, data, metadata }];
    run = { events, first: before.first, last: event, bytes: before.bytes + bytes };
  }
  if (run !== undefined) yield run;
}

async function append(target: EventLog, { events, first }: Run<HistoryEvent>): Promise<void> {
  const { stream, revision } = first;
  try {
    await target.append(stream, events, revision === 0n ? 'no-stream' : revision - 1n);
  } catch (error) {
    if (!(error instanceof LogError) || error.code !== 'WRONG_EXPECTED_REVISION') throw error;
    throw new CopyError(
      `Revision ${revision} of '${stream}' does not follow what the target holds: somebody else writes to the target, or the stream's beginning was truncated in the source, which cannot be copied.`,
      { cause: error },
    );
  }
}
