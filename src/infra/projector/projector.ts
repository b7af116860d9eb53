import { setTimeout as delay } from 'node:timers/promises';
import type { Projection } from '../../projections/projection.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Logger } from '../platform/logger.js';
import { Nudge } from '../platform/nudge.js';
import { FoldError, BatchFolder } from './batch-folder.js';
import { checkCheckpoint, isOnLog } from './checkpoint.js';
import { ProjectionError, toProjectionError } from './errors.js';
import { FailureState } from './failure-state.js';
import { filterOf, follow, type Progress } from './follow.js';
import { LiveDigest, type PlacedDigest } from './live-digest.js';
import { ProjectionFile, type Generation } from './projection-file.js';
import type { ProjectionState, ProjectionStatus } from './status.js';
import { Throughput } from './throughput.js';
import { Waiters } from './waiters.js';

/** Events folded at a time. */
const BATCH = 1_000;
/** Batches written by one commit of a rebuild. More are faster, but make the live generation wait longer. */
const REBUILD_BATCHES_PER_COMMIT = 10;
/** How long to wait before a failed write (a full disk) is tried again, in milliseconds. */
const RETRY_DELAY_MS = 1_000;

/** Why a projection refused an operation. */
export interface Refusal {
  readonly refused: string;
}

/**
 * Runs one projection: follows the log into its file, rebuilds beside the live tables, switches and rolls back.
 *
 * The live loop runs until it must stop (for a switch, a halt or a failed write), and then starts again from the checkpoint.
 * A rebuild is a second loop into `next`. At its end it pauses the live loop, folds the last events, and switches.
 */
export class Projector {
  readonly file: ProjectionFile;
  readonly projection: Projection;
  readonly #log: EventLog;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #committed = new Nudge();
  readonly #waiters = new Waiters();
  readonly #progressed = new Nudge();
  readonly #resumed = new Nudge();
  readonly #throughput = new Throughput();
  readonly #digest: LiveDigest;
  #live: Generation;
  #frozen: boolean;
  #isLive = false;
  readonly #failures: FailureState;
  #follower = new AbortController();
  #following: Promise<void> = Promise.resolve();
  #pause: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;
  #rebuild:
    { readonly cancel: AbortController; readonly done: Promise<void>; position: bigint; number: number } | undefined;
  #rollingBack = false;
  private constructor(file: ProjectionFile, log: EventLog, logger: Logger, live: Generation) {
    this.file = file;
    this.projection = file.projection;
    this.#log = log;
    this.#logger = logger.child({ projection: file.projection.name });
    this.#failures = new FailureState(this.#logger);
    this.#digest = new LiveDigest(file);
    this.#live = live;
    this.#frozen = live.version !== file.projection.version;
  }

  /**
   * Opens a projection's file, to continue from its checkpoint. The caller holds the projection's lock.
   * @throws ProjectionError FOREIGN_LOG, CHECKPOINT_BEYOND_HEAD, LOG_DIVERGED, PROJECTION_DAMAGED
   */
  static async open(path: string, projection: Projection, log: EventLog, logger: Logger): Promise<Projector> {
    const file = await ProjectionFile.open(path, projection);
    try {
      const live = (await file.generation('live')) ?? (await file.createLive(log.logId));
      await checkCheckpoint(file, live, log);
      return new Projector(file, log, logger, live);
    } catch (error) {
      await file.close();
      throw toProjectionError(error, path);
    }
  }

  /** Starts following. A file of another version, or one whose rebuild was interrupted, is rebuilt immediately. */
  async start(): Promise<void> {
    this.#running = this.#run();
    const unfinished = await this.file.generation('next');
    if (this.#frozen || unfinished !== undefined) this.rebuild();
  }

  /** Stops following and closes the file. A rebuild under way continues at the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#follower.abort();
    this.#waiters.dismiss();
    this.#rebuild?.cancel.abort();
    await this.#rebuild?.done;
    await this.#running;
    await this.file.close();
  }

  /** The position up to which everything can be queried. */
  get position(): bigint {
    return this.#live.position;
  }

  /** Resolves true once everything up to a position can be queried; false after the timeout, a halt, a stop or an abort. */
  reaches(position: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#live.position >= position) return Promise.resolve(true);
    if (this.#stopping.signal.aborted || this.#failures.halts('live')) return Promise.resolve(false);
    return this.#waiters.wait(position, timeoutMs, signal);
  }

  /** Waits for the next commit, or until the signal is aborted. */
  committed(signal: AbortSignal): Promise<void> {
    return this.#committed.wait(signal);
  }

  /** Waits until the status may have changed, or the signal is aborted. */
  progressed(signal: AbortSignal): Promise<void> {
    return this.#progressed.wait(signal);
  }

  async status(logEnd: bigint | Promise<bigint> = this.#log.head()): Promise<ProjectionStatus> {
    const end = await logEnd;
    const rebuilding = this.#rebuild;
    const position = rebuilding?.position ?? this.#live.position;
    const head = position > end ? position : end;
    const state = this.#state();
    const pace = this.#throughput.forecast(head - position);
    return {
      name: this.projection.name,
      version: this.projection.version,
      state,
      position,
      head,
      ...(state === 'HALTED' && position < head ? { ...pace, etaSeconds: null } : pace),
      generation: rebuilding?.number ?? this.#live.number,
      error: this.#failures.worst ?? null,
    };
  }

  /** For how long it has been seen behind the end of the log, in milliseconds; infinity until it was at the end once. */
  async behindMs(): Promise<number> {
    this.#throughput.seen(this.#live.position >= (await this.#log.head()));
    return this.#throughput.behindMs;
  }

  /** The digest of the live tables, with its position. */
  digest(): Promise<PlacedDigest> {
    return this.#digest.of(this.#live);
  }

  /** Starts a rebuild beside the live tables; `status` shows its progress. */
  rebuild(): Refusal | undefined {
    if (this.#rebuild !== undefined) return { refused: 'A rebuild is under way already.' };
    if (this.#rollingBack) return { refused: 'A rollback is under way.' };
    this.#startRebuild();
    return undefined;
  }

  /** Resolves when no rebuild is under way. */
  async rebuilt(): Promise<void> {
    await this.#rebuild?.done;
  }

  /** Cancels a rebuild, under way or halted, and drops what it built. */
  async cancelRebuild(): Promise<Refusal | undefined> {
    if (this.#frozen) return { refused: 'This rebuild replaces tables of another version; it cannot be cancelled.' };
    this.#rebuild?.cancel.abort();
    await this.#rebuild?.done;
    if (this.#stopping.signal.aborted) return undefined;
    if ((await this.file.generation('next')) === undefined) return { refused: 'No rebuild is under way.' };
    await this.file.drop('next');
    this.#failures.lift('next');
    return undefined;
  }

  /** Returns to the generation before the last rebuild, which then catches up with the log. */
  async rollback(): Promise<Refusal | undefined> {
    if (this.#rebuild !== undefined) return { refused: 'A rebuild is under way; cancel it or let it finish first.' };
    if (this.#rollingBack) return { refused: 'A rollback is under way already.' };
    this.#rollingBack = true;
    try {
      const previous = await this.file.generation('prev');
      if (previous === undefined) return { refused: 'There is no previous generation to go back to.' };
      if (previous.version !== this.projection.version) {
        return {
          refused: `The previous generation has version ${previous.version}; this build uses ${this.projection.version}.`,
        };
      }
      if (!(await isOnLog(previous, this.#log)))
        return { refused: 'The previous generation has folded events that this log does not have.' };
      await this.#whilePaused(() => this.file.switchToPrevious());
      return undefined;
    } finally {
      this.#rollingBack = false;
    }
  }

  /** Continues after a halt: tries the event again, or records that it is skipped. */
  async resume(skip: boolean): Promise<Refusal | undefined> {
    const failure = this.#failures.worst;
    if (failure === undefined || !this.#failures.isHalted) return { refused: 'The projection is not halted.' };
    if (skip && failure.code === 'NEWER_EVENT')
      return { refused: 'A newer build wrote this event, so it cannot be skipped. Start that build, or a later one.' };
    if (skip) await this.file.skip(failure.position);
    const rebuilding = this.#failures.halts('next');
    this.#failures.lift();
    this.#resumed.notify();
    if (rebuilding) this.rebuild();
    return undefined;
  }

  #state(): ProjectionState {
    if (this.#rebuild !== undefined) return 'REBUILDING';
    if (this.#failures.isHalted) return 'HALTED';
    return this.#isLive ? 'LIVE' : 'CATCHING_UP';
  }

  async #run(): Promise<void> {
    const stopping = this.#stopping.signal;
    while (!stopping.aborted) {
      const pause = this.#pause;
      await pause;
      if (pause !== this.#pause) continue;
      if (this.#frozen || this.#failures.halts('live')) {
        await this.#resumed.wait(stopping);
        continue;
      }
      this.#follower = new AbortController();
      this.#following = this.#followLive(AbortSignal.any([stopping, this.#follower.signal]));
      try {
        await this.#following;
      } catch (error) {
        if (stopping.aborted) return;
        if (error instanceof FoldError) this.#halt('live', error);
        else await this.#retryLater(error, 'live', stopping);
      }
    }
  }

  async #followLive(signal: AbortSignal): Promise<void> {
    const live = await this.file.generation('live');
    if (live === undefined)
      throw new ProjectionError(
        'PROJECTION_DAMAGED',
        `${this.file.path} has lost its live generation. Delete the file and start the core again, which rebuilds it from the log.`,
      );
    this.#live = live;
    this.#isLive = false;
    this.#announce();
    await this.#fold('live', live, 1, signal, ({ through, events, live: isLive }) => {
      this.#live = { ...this.#live, position: through, events: this.#live.events + events };
      this.#isLive = isLive;
      if (isLive) this.#throughput.seen(true);
      this.#announce();
    });
  }

  #fold(
    slot: 'live' | 'next',
    from: Generation,
    batchesPerCommit: number,
    signal: AbortSignal,
    onCommit: (progress: Progress) => void,
  ): Promise<void> {
    let reached = from.position;
    const ended = new AbortController();
    const batches = this.#log.subscribe({
      after: from.position,
      filter: filterOf(this.projection),
      batchSize: BATCH,
      signal: AbortSignal.any([signal, ended.signal]),
    });
    return follow({
      file: this.file,
      slot,
      folder: new BatchFolder(this.projection, this.file.loader(slot)),
      batches,
      from,
      batchesPerCommit,
      ended,
      onCommit: (progress) => {
        this.#throughput.add(progress.events, progress.through - reached);
        reached = progress.through;
        this.#failures.written(slot);
        onCommit(progress);
        this.#progressed.notify();
      },
    });
  }

  #announce(): void {
    this.#waiters.reached(this.#live.position);
    this.#committed.notify();
  }

  #halt(slot: 'live' | 'next', error: FoldError): void {
    this.#failures.halt(slot, error);
    // The position they wait for will not be reached until the halt is lifted.
    if (slot === 'live') this.#waiters.dismiss();
    this.#progressed.notify();
  }

  async #retryLater(error: unknown, slot: 'live' | 'next', signal: AbortSignal): Promise<void> {
    this.#failures.writeFailed(slot, this.#live.position, error);
    this.#progressed.notify();
    await delay(RETRY_DELAY_MS, undefined, { signal }).catch(() => undefined);
  }

  #startRebuild(): void {
    this.#failures.lift('next');
    const cancel = new AbortController();
    const done = this.#keepRebuilding(AbortSignal.any([cancel.signal, this.#stopping.signal])).finally(() => {
      this.#rebuild = undefined;
      this.#progressed.notify();
    });
    this.#rebuild = { cancel, done, position: 0n, number: this.#live.number + 1 };
    this.#progressed.notify();
  }

  /** Rebuilds until the rebuild is done, cancelled or halted; meanwhile it does not change the live tables. */
  async #keepRebuilding(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#runRebuild(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof FoldError) {
          this.#halt('next', error);
          return;
        }
        await this.#retryLater(error, 'next', signal);
      }
    }
  }

  async #runRebuild(signal: AbortSignal): Promise<void> {
    const next = await this.#nextGeneration();
    const track = (position: bigint) => {
      if (this.#rebuild !== undefined) Object.assign(this.#rebuild, { position, number: next.number });
    };
    track(next.position);
    let reached = next;
    const fold = async (until: AbortController, enough: (progress: Progress) => boolean) => {
      await this.#fold(
        'next',
        reached,
        REBUILD_BATCHES_PER_COMMIT,
        AbortSignal.any([signal, until.signal]),
        (progress) => {
          reached = { ...reached, position: progress.through };
          track(progress.through);
          if (enough(progress)) until.abort();
        },
      );
      signal.throwIfAborted();
    };
    await fold(new AbortController(), ({ live }) => live);
    await this.file.indexNext(next.number, signal);
    await this.#whilePaused(async () => {
      const head = await this.#log.head();
      if (reached.position < head) await fold(new AbortController(), ({ through }) => through >= head);
      await this.file.switchToNext();
      this.#frozen = false;
    });
    this.#logger.info({ generation: next.number }, 'rebuilt and switched');
  }

  /** The unfinished generation if it can be completed, or a new one. */
  async #nextGeneration(): Promise<Generation> {
    const unfinished = await this.file.generation('next');
    if (unfinished?.version === this.projection.version && (await isOnLog(unfinished, this.#log))) return unfinished;
    // Skipped events remain skipped, unless the projection has another version now.
    return this.file.createNext(this.#log.logId, this.#frozen ? [] : this.#live.skipped);
  }

  /** Runs `work` while the live loop is paused; the loop then starts again from the file's checkpoint. */
  #whilePaused(work: () => Promise<void>): Promise<void> {
    const done = this.#switch(work);
    this.#pause = done.catch(() => undefined);
    return done;
  }

  async #switch(work: () => Promise<void>): Promise<void> {
    this.#follower.abort();
    await this.#following.catch(() => undefined);
    try {
      await work();
      this.#live = (await this.file.generation('live')) ?? this.#live;
      this.#failures.lift();
    } finally {
      this.#resumed.notify();
    }
  }
}
