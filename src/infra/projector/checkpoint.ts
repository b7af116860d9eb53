import type { EventLog } from '../eventlog/eventlog.js';
import { ProjectionError } from './errors.js';
import type { Generation, ProjectionFile } from './projection-file.js';

/** Refuses to follow a log from a place that is not of it. @throws ProjectionError FOREIGN_LOG, CHECKPOINT_BEYOND_HEAD */
export async function checkCheckpoint(file: ProjectionFile, live: Generation, log: EventLog): Promise<void> {
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
}
