import { LogError } from '../../eventlog/errors.js';
import type { HaltReason } from '../../../domain/writer.js';

/** What a person does about it. */
const ADVICE =
  'Save what no quorum has (sheratan export --unreplicated FILE), restore into an empty data folder (sheratan restore), and judge the saved commands afresh there (sheratan import --rebase FILE). If the other core is known to be gone for good, this one goes on after: sheratan hosts begin-line.';

/** What every command is refused with while a core is halted. */
export function replicationStopped({ code, message }: HaltReason): LogError {
  return new LogError('REPLICATION_STOPPED', `This core takes no more commands (${code}): ${message} ${ADVICE}`);
}
