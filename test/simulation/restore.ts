import type { HostClient } from '../../src/infra/offgrid/protocol/host-client.js';
import type { AcceptedHistory, ReadHistory } from '../../src/infra/offgrid/restore/history-reader.js';
import { readBack, restoredFact, restoredWriter } from '../../src/infra/offgrid/restore/restore.js';
import type { Random } from '../support/random.js';
import { ORIGIN, ROOT } from './bodies.js';
import type { CoreFolder } from './core.js';
import type { Histories } from './histories.js';
import type { SimHost } from './host.js';
import { SimLog } from './sim-log.js';
import { VirtualTime, type Life, type VirtualClock } from './virtual-time.js';

/** What is read back, and how. */
export interface RestoreOptions {
  readonly hosts: readonly SimHost[];
  readonly dishonestWeight: number;
  readonly acceptLoss: boolean;
  readonly history?: string;
  readonly clientOf: (host: SimHost, life: Life) => HostClient;
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly histories: Histories;
  /** The name of a log. */
  readonly newLogId: () => string;
  readonly life: Life;
  readonly onTrouble: (message: string) => void;
}

/** What was read back. */
export interface Restored {
  readonly read: ReadHistory | AcceptedHistory;
  readonly log: SimLog;
}

/** Reads a history back, with the product's reader, over the virtual network. @throws RestoreError */
export async function readHistory(options: RestoreOptions): Promise<Restored> {
  const { hosts, dishonestWeight, acceptLoss, history, clock, random, histories, life } = options;
  const logs: SimLog[] = [];
  const request = {
    ...{ origin: ORIGIN, root: ROOT, dishonestWeight, acceptLoss },
    hosts: hosts.map(({ url, identity, traits }) => ({ url, weight: traits.weight, fingerprint: identity.id })),
    ...(history === undefined ? {} : { history }),
  };
  const read = await readBack(request, {
    clientOf: (url) =>
      options.clientOf(
        hosts.find((host) => host.url === url)!,
        life,
      ),
    newLog: () => {
      const log = new SimLog(options.newLogId(), histories);
      logs.push(log);
      return Promise.resolve(log);
    },
    time: new VirtualTime(clock, random, life),
    onProgress: () => undefined,
    onTrouble: options.onTrouble,
  });
  const log = logs.find((one) => one === read.log);
  if (log === undefined) throw new Error('a log was read that was not created');
  return { read, log };
}

/** The folder of a core that continues with what was read. */
export function restoredFolder({ read, log }: Restored, { clock, dishonestWeight }: RestoreOptions): CoreFolder {
  const fact = restoredFact(read, { origin: ORIGIN, dishonestWeight });
  log.record(fact, ORIGIN, new Date(clock.now).toISOString());
  return { log, writer: restoredWriter(read) };
}
