import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { systemClock } from '../../src/infra/clock.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded.js';
import { Sealer } from '../../src/infra/offgrid/replicator/sealer.js';
import { readHistory } from '../../src/infra/offgrid/restore/history.js';
import { Opener } from '../../src/infra/offgrid/restore/opener.js';
import { restore } from '../../src/infra/offgrid/restore/restore.js';
import { survey } from '../../src/infra/offgrid/restore/source.js';
import { clientOf, ORIGIN, prepareBatches, withHosts } from './hosts.js';
import { perSecond } from './measure.js';
import { travelling } from './travelling.js';

/** A host that has events, and what is measured with it. */
export class Restored {
  readonly #scratch: string;
  readonly #count: number;
  readonly #root: RootKey;
  readonly #url: string;

  private constructor(scratch: string, count: number, root: RootKey, url: string) {
    this.#scratch = scratch;
    this.#count = count;
    this.#root = root;
    this.#url = url;
  }

  static with(scratch: string, count: number, work: (restored: Restored) => Promise<void>): Promise<void> {
    return withHosts(1, join(scratch, 'restore'), async ([url = '']) => {
      const root = RootKey.generate();
      const sealer = new Sealer(root, ORIGIN);
      const client = clientOf(url);
      const events = travelling(count).map((event) => sealer.seal(event, []));
      for (const batch of await prepareBatches(client, root, events)) await client.ship(ORIGIN, batch);
      await work(new Restored(scratch, count, root, url));
    });
  }

  /** Events a second into a new log. No policy is in them, so loss is accepted; nothing is claimed. */
  rate(): Promise<number> {
    const path = join(this.#scratch, `${randomBytes(4).toString('hex')}.db`);
    return perSecond(this.#count, async () => {
      const hosts = [{ url: this.#url, weight: 1 }];
      const request = { origin: ORIGIN, root: this.#root, hosts, acceptLoss: true, liars: 0 };
      const { log } = await restore(request, {
        portOf: clientOf,
        newLog: () => EmbeddedLog.open(path, systemClock, 'ON_CLOSE'),
        onProgress: () => undefined,
        onTrouble: (message) => void process.stderr.write(`${message}\n`),
      });
      await log.close();
    });
  }

  /** Events a second that are read and opened, and then dropped. */
  async readingRate(): Promise<number> {
    const { sources } = await survey([{ url: this.#url, weight: 1 }], ORIGIN, clientOf);
    return perSecond(this.#count, async () => {
      const ground = {
        origin: ORIGIN,
        opener: new Opener(this.#root, ORIGIN),
        tree: new MerkleFrontier(sha256),
        onTrouble: () => undefined,
      };
      for await (const _ of readHistory(sources, ground));
    });
  }
}
