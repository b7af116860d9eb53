import type { Projection } from '../../projections/projection.js';
import type { EventBatch, EventFilter, EventPlace } from '../eventlog/eventlog.js';
import type { FoldError, BatchFolder } from './batch-folder.js';
import type { Slot } from './generation.js';
import type { Generation, ProjectionFile } from './projection-file.js';

/** What is reported after each commit. */
export interface Progress {
  /** The position up to which everything is in the file. */
  readonly through: bigint;
  /** Events folded by this commit. */
  readonly events: number;
  /** Whether `through` was the end of the log when the batch was read. */
  readonly live: boolean;
}

/** The source, target and options of `follow`. */
export interface FollowDependencies {
  readonly file: ProjectionFile;
  readonly slot: Slot;
  readonly folder: BatchFolder;
  readonly batches: AsyncIterable<EventBatch>;
  /** The position after which the batches begin, and the positions of events to skip. */
  readonly from: Pick<Generation, 'position' | 'skipped'>;
  /** How many batches one commit writes, unless the end of the log or a failure is reached first. */
  readonly batchesPerCommit: number;
  /** Whether to skip an event that cannot be folded as well; by default it ends the folding. */
  readonly skips?: (failure: FoldError) => boolean;
  /** Aborted when a write or a fold fails; it must end `batches`. */
  readonly ended: AbortController;
  readonly onCommit: (progress: Progress) => void;
}

/** What is folded but not in the file yet. */
interface Unwritten {
  batches: number;
  events: number;
  through: bigint;
  last?: EventPlace | undefined;
}

/**
 * Folds batches into a slot until they end. Three steps run concurrently: the next batch is read while this one is folded and
 * earlier ones are written. Rows and checkpoint are written in one transaction, so each event counts exactly once.
 * @throws FoldError after writing the events before the one that cannot be folded
 */
export async function follow(following: FollowDependencies): Promise<void> {
  const { file, slot, folder, batchesPerCommit, ended, onCommit } = following;
  const skipped = new Set(following.from.skipped);
  let writing: Promise<void> = Promise.resolve();
  let unwritten: Unwritten = { batches: 0, events: 0, through: following.from.position };
  const write = async (live: boolean) => {
    const { events, through, last } = unwritten;
    unwritten = { batches: 0, events: 0, through };
    const commit = file.prepareCommit(slot, folder.take(), { position: through, events, last });
    await writing;
    writing = commit().then(() => {
      folder.written();
      onCommit({ through, events, live });
    });
    // A failed write ends the batches, even while the source waits for new events; the error is then thrown below.
    writing.catch(() => {
      ended.abort();
    });
  };
  try {
    for await (const batch of readAhead(following.batches)) {
      for (let rest = batch.events; ;) {
        const { taken, events, failure } = await folder.fold(rest, skipped);
        const last = rest[taken - 1];
        rest = rest.slice(taken);
        if (failure !== undefined && following.skips?.(failure) === true) {
          skipped.add(failure.event.position);
          unwritten.events += events;
          continue;
        }
        const isWhole = rest.length === 0 && failure === undefined;
        unwritten.through = isWhole ? batch.through : (last?.position ?? unwritten.through);
        unwritten.last = (isWhole ? batch.last : undefined) ?? last ?? unwritten.last;
        unwritten.events += events;
        unwritten.batches += isWhole ? 1 : 0;
        const isEnough = unwritten.batches >= batchesPerCommit || folder.isFull;
        if (!isWhole || batch.live || isEnough) await write(isWhole && batch.live);
        if (failure !== undefined) throw failure;
        if (isWhole) break;
      }
      // At the end of the log, wait for the write: the events recorded meanwhile then form one batch.
      if (batch.live) await writing;
    }
  } finally {
    if (unwritten.batches > 0) await write(false);
    ended.abort();
    await writing;
  }
}

/** The filter for the events that a projection folds. */
export function filterOf({ categories }: Projection): EventFilter {
  return categories === 'ALL' ? {} : { categories };
}

/** Requests the next batch while the current one is in use, except at the end of the log. */
async function* readAhead(source: AsyncIterable<EventBatch>): AsyncIterable<EventBatch> {
  const iterator = source[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const result = await next;
      if (result.done === true) return;
      if (!result.value.live) next = iterator.next();
      next.catch(() => undefined);
      yield result.value;
      if (result.value.live) next = iterator.next();
    }
  } finally {
    void iterator.return?.().catch(() => undefined);
  }
}
