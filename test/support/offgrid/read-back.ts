import { join } from 'node:path';
import { systemClock } from '../../../src/infra/clock.js';
import { corePaths } from '../../../src/infra/core-paths.js';
import { readKeyring } from '../../../src/infra/crypto/keyring-file.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { HttpHost } from '../../../src/infra/offgrid/replicator/http-host.js';
import { restore } from '../../../src/infra/offgrid/restore/restore.js';
import { readHosts } from '../../../src/infra/offgrid/settings.js';
import { AUTH_KEY, newFolder } from './host.js';
import { ORIGIN } from './writer.js';

/** What came back from hosts. */
export interface ReadBack {
  /** The number of the last event. */
  readonly sequence: number;
  /** Who was in trouble, and why. */
  readonly troubles: readonly string[];
  /** The writer epoch that was claimed, if one was. */
  readonly epoch: number | undefined;
}

/**
 * Reads back what hosts have of a core, in this process: as `sheratan restore --drill` does, or with a claim.
 * @param dataDir of the core, whose keyring is used
 * @param hosts with their fingerprints, in the order they are asked
 */
export async function readBack(dataDir: string, hosts: readonly string[], { claims = false } = {}): Promise<ReadBack> {
  const root = await readKeyring(corePaths(dataDir).keyring, undefined);
  if (root === undefined) throw new Error(`there is no keyring in ${dataDir}`);
  const troubles: string[] = [];
  const request = { origin: ORIGIN, root, hosts: readHosts(hosts.join(',')), acceptLoss: false, liars: 0 };
  const writerOf = (made: EventLog) => `${made.logId}:another-writer`;
  const { log, sequence, grant } = await restore(claims ? { ...request, writerOf } : request, {
    portOf: (url, host) => new HttpHost(url, AUTH_KEY, systemClock, host),
    newLog: async () => EmbeddedLog.open(join(await newFolder(), 'log.db'), systemClock),
    onProgress: () => undefined,
    onTrouble: (message) => troubles.push(message),
  });
  await log.close();
  return { sequence, troubles, epoch: grant?.epoch };
}
