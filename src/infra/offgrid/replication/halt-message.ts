import type { News, Shown } from '../../../domain/election.js';
import type { ReplicationState } from './replication-state.js';

/** Why a core was stopped, for people. @param own what is known of its log @param shown by the host */
export function haltMessage(
  news: News,
  host: string,
  { line, isRestored }: Pick<ReplicationState, 'line' | 'isRestored'>,
  shown: Shown | null | undefined,
): string {
  const shows = `Host ${host} shows event ${shown?.sequence ?? 0} of epoch ${shown?.epoch ?? 0}`;
  // Where a quorum is not on the log, the restore lacks more than it left out: nobody is told to go on without it.
  if (isRestored && news !== 'LINE' && shown?.isOnLog === false && shown.isQuorumOnLog)
    return `${shows}, which this log does not have: it was restored without them, and without this host the others are too few to go on. To have these events, restore again with this host; to go on without them for good: sheratan hosts begin-line.`;
  switch (news) {
    case 'LINE':
      return `${shows}, in line ${shown?.line ?? 0}; this log is of line ${line}, and does not have it: somebody has accepted a loss or begun a line elsewhere. To put this log above it for good: sheratan hosts begin-line.`;
    case 'FORKED':
      return `${shows}, the epoch that this log was elected in last, and they are not on this log: a copy of it went on, or one process runs twice.`;
    case 'BEHIND':
      return `${shows}, with ${shown?.quorum ?? 0} events at quorum, which are not on this log: the log is older than what was shipped, or another core writes.`;
  }
}
