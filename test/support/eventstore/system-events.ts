import { randomUUID } from 'node:crypto';
import type { Proposed } from './record.js';

/** What the server writes into the log by itself: records of nobody's. */
export const STATISTICS_STREAM = '$stats-127.0.0.1:2113';

export function proposeJson(type: string, data: string): Proposed {
  return { id: randomUUID(), type, isJson: true, data: Buffer.from(data, 'utf8'), metadata: NO_BYTES };
}

const NO_BYTES = new Uint8Array();

export function newStatistics(): Proposed {
  return proposeJson('$statsCollected', '{"proc-mem":"87654321","sys-cpu":"12.5"}');
}

/** What a fresh database holds, as stream and event. */
export const FIRST_RECORDS: readonly (readonly [stream: string, event: Proposed])[] = [
  [`$$${STATISTICS_STREAM}`, proposeJson('$metadata', '{"$maxAge":86400}')],
  ['$scavenges', proposeJson('$scavengeIndexInitialized', '{}')],
  ['$user-admin', proposeJson('$UserCreated', '{"loginName":"admin","groups":["$admins"]}')],
  ['$user-ops', proposeJson('$UserCreated', '{"loginName":"ops","groups":["$ops"]}')],
  ['$users', proposeJson('$User', '["admin","ops"]')],
];
