import type { EventLog } from '../eventlog/eventlog.js';
import { ProjectionError } from './errors.js';
import type { Generation, ProjectionFile } from './projection-file.js';

/** Whether a generation was built from this log: it has the same id, is not behind the generation, and has its last event. */
export async function isOnLog(generation: Generation, log: EventLog): Promise<boolean> {
  const { logId, position } = generation;
  return logId === log.logId && position <= (await log.head()) && (await hasLast(generation, log));
}

async function hasLast({ last }: Generation, log: EventLog): Promise<boolean> {
  return last === undefined || log.has(last);
}

/**
 * Checks that the live generation was built from this log, so that it can continue from its position.
 * @throws ProjectionError FOREIGN_LOG, CHECKPOINT_BEYOND_HEAD, LOG_DIVERGED
 */
export async function checkCheckpoint(
  file: Pick<ProjectionFile, 'path' | 'projection'>,
  live: Generation,
  log: EventLog,
): Promise<void> {
  const reset = `\`sheratan replay ${file.projection.name} --reset\``;
  const remedy = `Restore the right log, or accept this one: run ${reset} to rebuild the projection from it.`;
  if (live.logId !== log.logId) {
    throw new ProjectionError(
      'FOREIGN_LOG',
      `${file.path} was built from log ${live.logId}; this is log ${log.logId}. Run ${reset} to rebuild it from this log.`,
    );
  }
  const head = await log.head();
  if (live.position > head) {
    throw new ProjectionError(
      'CHECKPOINT_BEYOND_HEAD',
      `${file.path} has folded up to ${live.position}, but the log ends at ${head}: the log has lost events, or is an older copy. ${remedy}`,
    );
  }
  if (!(await hasLast(live, log))) {
    throw new ProjectionError(
      'LOG_DIVERGED',
      `${file.path} has folded events that this log does not have: the log was reset to an older copy and continued from there. ${remedy}`,
    );
  }
}
