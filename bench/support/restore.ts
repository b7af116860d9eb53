import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ETYPES, type ReplicatedEvent } from '../../src/domain/event.js';
import type { JsonObject } from '../../src/domain/json.js';
import { replicationStream } from '../../src/domain/replication.js';
import { systemClock, systemTime } from '../../src/infra/platform/clock.js';
import { toBase64 } from '../../src/infra/crypto/bytes.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import type { HostKeys } from '../../src/infra/offgrid/protocol/host-client.js';
import { Sealer } from '../../src/infra/offgrid/protocol/sealer.js';
import { ContentFetcher } from '../../src/infra/offgrid/restore/content-fetcher.js';
import { contentSources } from '../../src/infra/offgrid/restore/content-sources.js';
import { EntryCollector } from '../../src/infra/offgrid/restore/entry-collector.js';
import { surveyHosts } from '../../src/infra/offgrid/restore/host-survey.js';
import { EnvelopeReader } from '../../src/infra/offgrid/restore/envelope-reader.js';
import { readBack } from '../../src/infra/offgrid/restore/restore.js';
import { claim, clientOf, ORIGIN, prepareBatches, withHosts } from './hosts.js';
import { perSecond } from './measure.js';
import { replicatedEvents } from './replicated-events.js';

const time = systemTime(systemClock);

/** A host that has events, and the measurements with it. */
export class Restored {
  readonly #scratch: string;
  readonly #count: number;
  readonly #root: RootKey;
  readonly #host: { readonly url: string; readonly fingerprint: string; readonly weight: 1 };

  private constructor(scratch: string, count: number, root: RootKey, url: string, { host }: HostKeys) {
    this.#scratch = scratch;
    this.#count = count;
    this.#root = root;
    this.#host = { url, fingerprint: host, weight: 1 };
  }

  static with(scratch: string, count: number, work: (restored: Restored) => Promise<void>): Promise<void> {
    return withHosts(1, join(scratch, 'restore'), async ([url = '']) => {
      const root = RootKey.generate();
      const sealer = new Sealer(root, ORIGIN);
      const client = clientOf(url);
      const keys = await client.keys();
      const events = [policy(url, keys), ...replicatedEvents(count - 1, 2)].map((event) => sealer.seal(event, []));
      await claim(client, root);
      for (const batch of prepareBatches(root, events)) await client.ship(ORIGIN, batch);
      await work(new Restored(scratch, count, root, url, keys));
    });
  }

  /** Events per second into a new log. */
  rate(): Promise<number> {
    const path = join(this.#scratch, `${randomBytes(4).toString('hex')}.db`);
    return perSecond(this.#count, async () => {
      const request = { origin: ORIGIN, root: this.#root, hosts: [this.#host], dishonestWeight: 0 };
      const { log } = await readBack(request, {
        clientOf,
        newLog: () => EmbeddedLog.open(path, systemClock, { syncs: 'ON_CLOSE' }),
        time,
        onProgress: () => undefined,
        onTrouble: report,
      });
      await log.close();
    });
  }

  /** Events per second that are read and opened, and then dropped. */
  async readingRate(): Promise<number> {
    return perSecond(this.#count, async () => {
      const [origin, root, hosts] = [ORIGIN, this.#root, [this.#host]];
      const { heard, unheard } = await surveyHosts({ origin, root, hosts, clientOf });
      for (const { why } of unheard) report(why);
      const onTrouble = (_: unknown, why: string) => {
        report(why);
      };
      const collector = new EntryCollector({ origin, hosts: heard, time, onProgress: () => undefined, onTrouble });
      const tree = heard[0]?.head.tree?.value;
      const list = tree && (await collector.listOf(tree));
      if (list?.length !== this.#count) throw new Error(`the host gives ${list?.length ?? 0} entries`);
      const opener = new EnvelopeReader(root, origin);
      const sources = contentSources(list, heard, () => list);
      for await (const page of new ContentFetcher({ origin, time, onTrouble }).read(
        list,
        { after: 0, to: list.length },
        sources,
      ))
        for (const event of page) opener.open(event);
    });
  }
}

function report(message: string): void {
  process.stderr.write(`${message}\n`);
}

/** The first event of the history: it names the host. */
function policy(url: string, { host, verifyKey }: HostKeys): ReplicatedEvent {
  const at = '2026-01-01T00:00:00.000Z';
  const named = { host, url, verifyKey: toBase64(verifyKey), weight: 1, confirmed: true };
  const data: JsonObject = { origin: ORIGIN, version: 1, hosts: [named], required: 1 };
  const metadata = { at, actor: 'bench', correlationId: 'bench', causationId: 'bench', schemaVersion: 1 };
  const [stream, type] = [replicationStream(ORIGIN), 'ReplicationPolicySet'];
  const place = { stream, revision: 0n, position: 1n, recordedAt: at };
  const event = { id: crypto.randomUUID(), type, etype: ETYPES.ReplicationPolicySet, data, metadata, ...place };
  return { sequence: 1, event };
}
