import type { EventBatch } from '../eventlog/eventlog.js';
import type { Folder } from './folder.js';
import type { ProjectionFile } from './projection-file.js';
import type { Slot } from './generation.js';

/** What is told after each commit. */
export interface Progress {
  /** Everything up to here is in the file. */
  readonly through: bigint;
  /** Events folded by this commit. */
  readonly events: number;
  /** Whether that was the end of the log when it was read. */
  readonly live: boolean;
}

/**
 * Folds batches into a slot until they end. Three things go on side by side: the next batch is read while this one is
 * folded and the one before is written. Rows and checkpoint are written in one transaction, so each event counts once.
 * @param ended aborted when a write or a fold fails; it must end `batches`
 * @throws FoldError after writing what came before the event whose handler threw
 */
export async function follow(
  file: ProjectionFile,
  slot: Slot,
  folder: Folder,
  batches: AsyncIterable<EventBatch>,
  skipped: ReadonlySet<bigint>,
  ended: AbortController,
  onCommit: (progress: Progress) => void,
): Promise<void> {
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const batch of readAhead(batches)) {
      const { changed, events, failure } = await folder.fold(batch.events, skipped);
      const through = failure === undefined ? batch.through : failure.event.position - 1n;
      const commit = file.prepareCommit(slot, changed, through, events);
      await writing;
      writing = commit().then(() => {
        folder.written();
        onCommit({ through, events, live: batch.live });
      });
      // A failed write ends the batches, even when no further one would come; then it is thrown below.
      writing.catch(() => {
        ended.abort();
      });
      if (failure !== undefined) throw failure;
    }
  } finally {
    ended.abort();
    await writing;
  }
}

/** Asks for the next value while the current one is being used. */
async function* readAhead<V>(source: AsyncIterable<V>): AsyncIterable<V> {
  const iterator = source[Symbol.asyncIterator]();
  let next = iterator.next();
  for (;;) {
    const result = await next;
    if (result.done === true) return;
    next = iterator.next();
    next.catch(() => undefined);
    yield result.value;
  }
}
