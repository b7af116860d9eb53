import type { Outcome } from '../../../domain/election.js';
import type { HaltReason } from '../../../domain/writer.js';
import { LogError } from '../../eventlog/errors.js';
import type { ReplicationState } from './replication-state.js';

/** What a host has shown that stops a core. */
export type Stop = Omit<Extract<Outcome, { is: 'STOPPED' }>, 'is'>;

/** Why a core was stopped, for people. @param own what is known of its log */
export function haltMessage(
  { news, by, shown }: Stop,
  { line, isRestored }: Pick<ReplicationState, 'line' | 'isRestored'>,
): string {
  const shows = `Host ${by} shows event ${shown.sequence} of epoch ${shown.epoch}`;
  // Where a quorum is not on the log, the restore lacks more than it left out: nobody is told to go on without it.
  if (isRestored && news !== 'LINE' && !shown.isOnLog && shown.isQuorumOnLog)
    return `${shows}, which this log does not have: it was restored without them, and without this host the others are too few to go on. To have these events, restore again with this host; to go on without them for good: sheratan hosts begin-line.`;
  switch (news) {
    case 'LINE':
      return `${shows}, in line ${shown.line}; this log is of line ${line}, and does not have it: somebody has accepted a loss or begun a line elsewhere. To put this log above it for good: sheratan hosts begin-line.`;
    case 'FORKED':
      return `${shows}, the epoch that this log was elected in last, and they are not on this log: a copy of it went on, or one process runs twice.`;
    case 'BEHIND':
      return `${shows}, with ${shown.quorum} events at quorum, which are not on this log: the log is older than what was shipped, or another core writes.`;
  }
}

/** What a person does about it. */
const ADVICE =
  'Save what no quorum has (sheratan export --unreplicated FILE), restore into an empty data folder (sheratan restore), and judge the saved commands afresh there (sheratan import --rebase FILE). If the other core is known to be gone for good, this one goes on after: sheratan hosts begin-line.';

/** What every command is refused with while a core is halted. */
export function replicationStopped({ code, message }: HaltReason): LogError {
  return new LogError('REPLICATION_STOPPED', `This core takes no more commands (${code}): ${message} ${ADVICE}`);
}
