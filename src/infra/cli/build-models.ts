import { PROJECTIONS } from '../../projections/all.js';
import { missions } from '../../projections/missions.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { CorePaths } from '../platform/core-paths.js';
import { Projector } from '../projector/projector.js';
import { CliError } from './errors.js';
import { withProgress } from './progress.js';
import { onStderr } from './stderr-logger.js';

/** How long to wait for a projection before its status is checked again, in milliseconds. */
const LOOK_MS = 500;

/**
 * Builds the read models and returns the digest of missions. The digest of the outbox would not be the one before: hosts
 * sign again for what they have.
 * @throws CliError when a read model cannot be written
 */
export async function buildModels(paths: CorePaths, log: EventLog, print: (line: string) => void): Promise<string> {
  let digest = '';
  const head = await log.head();
  for (const projection of PROJECTIONS.values()) {
    const projector = await Projector.open(paths.projection(projection.name), projection, log, onStderr('error'));
    try {
      await projector.start();
      const { name } = projection;
      const skipped = await withProgress(name, (update) => catchUp(projector, head, update, print));
      if (skipped > 0)
        print(`${name}: events that could not be folded: ${skipped}; each keeps its place and its number`);
      if (projection === missions) ({ digest } = await projector.digest());
    } finally {
      await projector.stop();
    }
  }
  return digest;
}

/** The most events that are reported one by one because they could not be folded. */
const MAX_NAMED = 20;

/**
 * Folds up to a position. An event that cannot be folded is skipped and reported. At an event of a newer build the
 * projection stops, so that the newer build can continue. Returns how many events were skipped.
 */
async function catchUp(
  projector: Projector,
  head: bigint,
  onProgress: (position: bigint, head: bigint) => void,
  print: (line: string) => void,
): Promise<number> {
  const { name } = projector.projection;
  for (let skipped = 0; ;) {
    if (await projector.reaches(head, LOOK_MS)) return skipped;
    const { state, error } = await projector.status();
    if (error !== null && state !== 'HALTED') throw new CliError(`${name} cannot be written: ${error.message}`);
    if (error?.code === 'NEWER_EVENT') {
      print(`${name}: stopped at event ${error.eventId ?? ''}. NEWER_EVENT: ${error.message}`);
      return skipped;
    }
    if (error !== null) {
      skipped += 1;
      if (skipped <= MAX_NAMED)
        print(`${name}: event ${error.eventId ?? ''} (${error.type ?? ''}) has no effect: ${error.message}`);
      await projector.resume(true);
    }
    onProgress(projector.position, head);
  }
}
