import type { EventLog } from '../eventlog/eventlog.js';
import { ProjectionError } from './errors.js';
import type { Generation, ProjectionFile } from './projection-file.js';

/** Whether a generation was built from a log as it is now, as far as its last event tells. */
export async function isOnLog(generation: Generation, log: EventLog): Promise<boolean> {
  const { logId, position } = generation;
  return logId === log.logId && position <= (await log.head()) && (await hasLast(generation, log));
}

async function hasLast({ last }: Generation, log: EventLog): Promise<boolean> {
  return last === undefined || log.has(last);
}

/** Refuses to follow a log from a place that is not of it. @throws ProjectionError FOREIGN_LOG, CHECKPOINT_BEYOND_HEAD, LOG_DIVERGED */
export async function checkCheckpoint(
  file: Pick<ProjectionFile, 'path' | 'projection'>,
  live: Generation,
  log: EventLog,
): Promise<void> {
  const remedy = `Run \`sheratan replay ${file.projection.name} --reset\` to build it anew from this log.`;
  if (live.logId !== log.logId) {
    throw new ProjectionError(
      'FOREIGN_LOG',
      `${file.path} was built from log ${live.logId}; this is log ${log.logId}. ${remedy}`,
    );
  }
  const head = await log.head();
  if (live.position > head) {
    throw new ProjectionError(
      'CHECKPOINT_BEYOND_HEAD',
      `${file.path} has folded up to ${live.position}, beyond the end of the log at ${head}: the log has lost events, or is an older copy. ` +
        `Restore the right log, or accept this one. ${remedy}`,
    );
  }
  if (!(await hasLast(live, log))) {
    throw new ProjectionError(
      'LOG_DIVERGED',
      `${file.path} has folded events that this log does not have: it was put back from an older copy, and went on from there. ` +
        `Restore the right log, or accept this one. ${remedy}`,
    );
  }
}
