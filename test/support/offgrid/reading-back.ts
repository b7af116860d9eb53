import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock, systemTime } from '../../../src/infra/platform/clock.js';
import type { RootKey } from '../../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import { HostClients } from '../../../src/infra/offgrid/protocol/host-clients.js';
import type { AcceptedHistory, ReadHistory } from '../../../src/infra/offgrid/restore/history-reader.js';
import { readBack, restoredFact, restoredWriter } from '../../../src/infra/offgrid/restore/restore.js';
import { appendFact } from '../../../src/infra/offgrid/replication/replication-events.js';
import { WriterFile } from '../../../src/infra/offgrid/replication/writer-file.js';
import { AUTH_KEY, newFolder } from './host.js';
import { ORIGIN } from './by-hand.js';

/** The options of a test's restore. */
export interface ReadingOptions {
  readonly root: RootKey;
  readonly hosts: readonly {
    readonly url: string;
    readonly id?: string;
    readonly identity?: { readonly id: string };
  }[];
  readonly dishonestWeight?: number;
  readonly origin?: string;
  readonly history?: string;
}

/** The messages about failures, and the folder of the log. */
interface InFolder {
  readonly troubles: readonly string[];
  readonly folder: string;
}

/** Reads a history back, over real sockets, into a core's folder. */
export async function readBackForTest(options: ReadingOptions): Promise<ReadHistory & InFolder> {
  const read = await readInto(options, false);
  if ('loss' in read) throw new Error('a loss was accepted');
  return read;
}

/** Does the same, and accepts a loss. */
export async function readWithLoss(options: ReadingOptions): Promise<AcceptedHistory & InFolder> {
  const read = await readInto(options, true);
  if (!('loss' in read)) throw new Error('nothing was lost');
  return read;
}

async function readInto({ root, hosts, ...options }: ReadingOptions, acceptLoss: boolean) {
  const folder = await newFolder();
  const troubles: string[] = [];
  let logs = 0;
  const request = {
    ...{ origin: options.origin ?? ORIGIN, root, dishonestWeight: options.dishonestWeight ?? 0 },
    hosts: hosts.map(({ url, id, identity }) => {
      const fingerprint = id ?? identity?.id;
      return { url, weight: 1, ...(fingerprint === undefined ? {} : { fingerprint }) };
    }),
    ...{ acceptLoss, ...(options.history === undefined ? {} : { history: options.history }) },
  };
  const clients = new HostClients(AUTH_KEY, systemClock);
  onTestFinished(() => {
    clients.close();
  });
  const read = await readBack(request, {
    clientOf: (url, host) => clients.of(url, host),
    newLog: async () => {
      const log = await EmbeddedLog.open(join(folder, logs === 0 ? 'log.db' : `log-${logs}.db`), systemClock, {
        syncs: 'ON_CLOSE',
      });
      logs += 1;
      onTestFinished(() => log.close());
      return log;
    },
    time: systemTime(systemClock),
    onProgress: () => undefined,
    onTrouble: (message) => troubles.push(message),
  });
  const by = { at: new Date().toISOString(), actor: 'test', correlationId: 'restore' };
  await appendFact(read.log, restoredFact(read, request), by);
  await new WriterFile(join(folder, 'writer.json')).save(restoredWriter(read));
  return { ...read, troubles, folder };
}
