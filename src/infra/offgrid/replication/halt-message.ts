import type { Outcome } from '../../../domain/election.js';
import type { HaltReason } from '../../../domain/writer.js';
import { LogError } from '../../eventlog/errors.js';
import type { ReplicationState } from './replication-state.js';

/** What a host has shown that halts a core. */
export type Stop = Omit<Extract<Outcome, { is: 'STOPPED' }>, 'is'>;

/** The message for the operator about why a core was halted. @param own the known state of its log */
export function haltMessage(
  { news, by, shown }: Stop,
  { line, isRestored }: Pick<ReplicationState, 'line' | 'isRestored'>,
): string {
  const shows = `Host ${by} shows event ${shown.sequence} of epoch ${shown.epoch}`;
  // If a quorum is not on the log, the restore lacks more than what it left out: do not advise to continue without it.
  if (isRestored && news !== 'LINE' && !shown.isOnLog && shown.isQuorumOnLog)
    return `${shows}, which this log does not have: it was restored without these events, and the other hosts alone are too few to continue. To get these events, restore again with this host; to continue without them permanently, run: sheratan hosts begin-line.`;
  switch (news) {
    case 'LINE':
      return `${shows}, in line ${shown.line}; this log is of line ${line}, and does not have this event: a loss was accepted or a line was begun elsewhere. To put this log above that line permanently, run: sheratan hosts begin-line.`;
    case 'FORKED':
      return `${shows}, the epoch in which this log was last elected, and these events are not on this log: a copy of it continued to write, or one process runs twice.`;
    case 'BEHIND':
      return `${shows}, with ${shown.quorum} events at quorum, which are not on this log: the log is older than what was shipped, or another core writes.`;
  }
}

/** What the operator does about it. */
const ADVICE =
  'Save the events that are not at quorum (sheratan export --unreplicated FILE), restore into an empty data folder (sheratan restore), and decide the saved commands again there (sheratan import --rebase FILE). If the other core is known to be permanently gone, this one continues after: sheratan hosts begin-line.';

/** The error that refuses every command while a core is halted. */
export function replicationStopped({ code, message }: HaltReason): LogError {
  return new LogError('REPLICATION_STOPPED', `This core takes no more commands (${code}): ${message} ${ADVICE}`);
}
