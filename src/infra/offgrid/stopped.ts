import { LogError } from '../eventlog/errors.js';
import type { Stop } from './replicator/ports.js';

/** What a person does about it. */
const ADVICE =
  'Save what no quorum has (sheratan export --unreplicated FILE), restore into an empty data folder (sheratan restore), and judge the saved commands afresh there (sheratan import --rebase FILE).';

/** What every command is refused with once replication has stopped for good. */
export function replicationStopped({ code, message }: Stop): LogError {
  return new LogError('REPLICATION_STOPPED', `This core takes no more commands (${code}): ${message} ${ADVICE}`);
}
