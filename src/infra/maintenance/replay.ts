import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Projection } from '../../projections/projection.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Logger } from '../platform/logger.js';
import { isOnLog } from '../projector/checkpoint.js';
import { readGeneration, type Generation } from '../projector/projection-file.js';
import { Projector } from '../projector/projector.js';
import type { ProjectionStatus } from '../projector/status.js';
import { Connection } from '../sqlite/connection.js';
import { MaintenanceError } from './errors.js';

/** How often the progress of a rebuild is read, in milliseconds. */
const POLL_MS = 200;

/** The state of a rebuild, here or in a running core. */
export type ReplayStatus = Pick<ProjectionStatus, 'state' | 'position' | 'head'>;

/** Reads the status of a rebuild until the projection is live or halted. */
export async function awaitReplay<S extends ReplayStatus>(
  read: () => Promise<S>,
  onProgress: (position: bigint, head: bigint) => void,
): Promise<S> {
  for (;;) {
    const status = await read();
    onProgress(status.position, status.head);
    if (status.state === 'LIVE' || status.state === 'HALTED') return status;
    await delay(POLL_MS);
  }
}

/** The result of a replay. */
export interface Replayed {
  readonly digest: string;
  readonly position: bigint;
}

/**
 * Rebuilds a projection from a log; a file that does not exist is made.
 * @param prune whether the previous generation is dropped afterwards
 * @throws MaintenanceError when an event cannot be folded; ProjectionError, LogError
 */
export async function replay(
  {
    path,
    projection,
    log,
    prune,
  }: {
    readonly path: string;
    readonly projection: Projection;
    readonly log: EventLog;
    readonly prune: boolean;
  },
  onProgress: (position: bigint, head: bigint) => void,
  logger: Logger,
): Promise<Replayed> {
  const projector = await Projector.open(path, projection, log, logger);
  try {
    const isNew = projector.position === 0n;
    await projector.start();
    if (!isNew) projector.rebuild();
    const { error } = await awaitReplay(() => projector.status(), onProgress);
    if (error !== null)
      throw new MaintenanceError(
        `${projection.name} halted at position ${error.position} (${error.type} ${error.eventId}): ${error.message}`,
      );
    if (prune) await projector.file.drop('prev');
    return await projector.digest();
  } finally {
    await projector.stop();
  }
}

/**
 * Whether the projection in a file has folded events that a log no longer has: the log has lost them. A file that cannot be
 * read, or that belongs to another log, tells nothing.
 */
export async function hasLostEvents(path: string, log: EventLog): Promise<boolean> {
  const seen = await liveGeneration(path);
  return seen?.logId === log.logId && !(await isOnLog(seen, log));
}

/** Deletes a projection's file. */
export async function deleteProjection(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
}

/** The live generation of a projection's file; undefined when it cannot be read. */
async function liveGeneration(path: string): Promise<Generation | undefined> {
  try {
    const connection = await Connection.open(path, 'read');
    return await readGeneration(connection, 'live').finally(() => connection.close());
  } catch {
    return undefined;
  }
}
