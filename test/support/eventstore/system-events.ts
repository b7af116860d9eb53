import { randomUUID } from 'node:crypto';
import type { Proposed } from './record.js';

/** The stream of the statistics that the server itself writes into the log. */
export const STATISTICS_STREAM = '$stats-127.0.0.1:2113';

export function proposeJson(type: string, data: string): Proposed {
  return { id: randomUUID(), type, isJson: true, data: Buffer.from(data, 'utf8'), metadata: NO_BYTES };
}

const NO_BYTES = new Uint8Array();

export function newStatistics(): Proposed {
  return proposeJson('$statsCollected', '{"proc-mem":"87654321","sys-cpu":"12.5"}');
}

/** The content of a new database, as streams and events. */
export const FIRST_RECORDS: readonly (readonly [stream: string, event: Proposed])[] = [
  [`$$${STATISTICS_STREAM}`, proposeJson('$metadata', '{"$maxAge":86400}')],
  ['$scavenges', proposeJson('$scavengeIndexInitialized', '{}')],
  ['$user-admin', proposeJson('$UserCreated', '{"loginName":"admin","groups":["$admins"]}')],
  ['$user-ops', proposeJson('$UserCreated', '{"loginName":"ops","groups":["$ops"]}')],
  ['$users', proposeJson('$User', '["admin","ops"]')],
];
