import { PROJECTIONS } from '../../projections/all.js';
import { missions } from '../../projections/missions.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { CorePaths } from '../platform/core-paths.js';
import type { Logger } from '../platform/logger.js';
import { Projector } from '../projector/projector.js';
import type { ProjectionFailure } from '../projector/status.js';
import { MaintenanceError } from './errors.js';
import type { Watch } from './watch.js';

/** How long to wait for a projection before its status is checked again, in milliseconds. */
const LOOK_MS = 500;

/** What became of one projection. */
export interface BuiltModel {
  readonly name: string;
  /** How many events could not be folded; each keeps its place and its number. */
  readonly skipped: number;
  /** The event of a newer build at which the projection stopped; undefined when it folded the complete log. */
  readonly stoppedAt: ProjectionFailure | undefined;
}

/** Receives the progress of building the read models. */
export interface BuildWatch extends Watch {
  /** An event was skipped, because it could not be folded. */
  readonly onSkipped: (name: string, failure: ProjectionFailure) => void;
  readonly onBuilt: (model: BuiltModel) => void;
}

/**
 * Builds the read models of a log and returns the digest of missions. The digest of the outbox would not be the one before:
 * hosts sign again for what they have. An event that cannot be folded is skipped. At an event of a newer build the projection
 * stops, so that the newer build can continue.
 * @throws MaintenanceError when a read model cannot be written
 */
export async function buildModels(paths: CorePaths, log: EventLog, watch: BuildWatch, logger: Logger): Promise<string> {
  let digest = '';
  const head = await log.head();
  for (const projection of PROJECTIONS.values()) {
    const projector = await Projector.open(paths.projection(projection.name), projection, log, logger);
    try {
      await projector.start();
      watch.onBuilt(await catchUp(projector, head, watch));
      if (projection === missions) ({ digest } = await projector.digest());
    } finally {
      await projector.stop();
    }
  }
  return digest;
}

/** Folds up to a position. @throws MaintenanceError */
async function catchUp(projector: Projector, head: bigint, { onProgress, onSkipped }: BuildWatch): Promise<BuiltModel> {
  const { name } = projector.projection;
  for (let skipped = 0; ;) {
    if (await projector.reaches(head, LOOK_MS)) return { name, skipped, stoppedAt: undefined };
    const { state, error } = await projector.status();
    if (error !== null && state !== 'HALTED') throw new MaintenanceError(`${name} cannot be written: ${error.message}`);
    if (error?.code === 'NEWER_EVENT') return { name, skipped, stoppedAt: error };
    if (error !== null) {
      skipped += 1;
      onSkipped(name, error);
      await projector.resume(true);
    }
    onProgress(name, 'positions', Number(projector.position), Number(head));
  }
}
