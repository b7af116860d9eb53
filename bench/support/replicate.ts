import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isReplicated, type ReplicatedEvent } from '../../src/domain/event.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { Sealer } from '../../src/infra/offgrid/protocol/sealer.js';
import type { AddressedEvent } from '../../src/infra/offgrid/protocol/event.js';
import { writeHistory } from './history.js';
import { AUTH_KEY, claim, clientOf, firstLine, ORIGIN, prepareBatches, withHosts } from './hosts.js';
import { perSecond, perSecondText, progress } from './measure.js';

/** How many events the measurement of sealing alone uses. */
const SEALED_AT_MOST = 20_000;
const RUN = fileURLToPath(new URL('./replicate-run.js', import.meta.url));

/** The results of one round: events per second, and the core's peak memory. */
export interface Round {
  readonly ours: number;
  readonly read: number;
  readonly seal: number;
  readonly host: number;
  readonly hosts: number;
  readonly peakMiB: number;
}

/** A core's data folder with events that are projected but on no host, and the measurements with it. */
export class Replicated {
  readonly #folder: string;
  readonly #events: readonly ReplicatedEvent[];
  readonly #root = RootKey.generate();
  readonly #sealed: readonly AddressedEvent[];

  private constructor(folder: string, events: readonly ReplicatedEvent[]) {
    this.#folder = folder;
    this.#events = events;
    const sealer = new Sealer(this.#root, ORIGIN);
    this.#sealed = events.map((event) => sealer.seal(event, []));
  }

  static async prepare(scratch: string, count: number): Promise<Replicated> {
    const folder = join(scratch, `template-${count}`);
    const { folder: core, log: path } = corePaths(folder);
    await mkdir(core, { recursive: true });
    await writeHistory(path, count);
    await runCore(0, { SHERATAN_DATA_DIR: folder, OFFGRID_STORAGE_ENABLED: 'false' });
    const events: ReplicatedEvent[] = [];
    const log = await EmbeddedLog.open(path, systemClock);
    for await (const event of log.readAll())
      if (isReplicated(event)) events.push({ sequence: events.length + 1, event });
    await log.close();
    return new Replicated(folder, events);
  }

  get #count(): number {
    return this.#events.length;
  }

  /** Bytes of all envelopes. */
  get sealedBytes(): number {
    return this.#sealed.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
  }

  async run(round: number): Promise<Round> {
    const [read, seal] = [await this.#readRate(), await this.#sealRate()];
    const [host, hosts] = [await this.#hostRate(1), await this.#hostRate(2)];
    const { rate: ours, peakMiB } = await this.#replicate();
    const stages = `read ${perSecondText(read)}, seal ${perSecondText(seal)}, one host ${perSecondText(host)}, both ${perSecondText(hosts)}`;
    progress(`round ${round}: ${perSecondText(ours)}; ${stages}; peak ${peakMiB.toFixed(0)} MiB`);
    return { ours, read, seal, host, hosts, peakMiB };
  }

  async peakMiB(): Promise<number> {
    return (await this.#replicate()).peakMiB;
  }

  async #readRate(): Promise<number> {
    const log = await EmbeddedLog.open(corePaths(this.#folder).log, systemClock);
    try {
      return await perSecond(this.#count, async () => {
        for await (const _ of log.readAll());
      });
    } finally {
      await log.close();
    }
  }

  #sealRate(): Promise<number> {
    const events = this.#events.slice(0, SEALED_AT_MOST);
    const sealer = new Sealer(this.#root, ORIGIN);
    return perSecond(events.length, () => {
      for (const event of events) sealer.seal(event, []);
      return Promise.resolve();
    });
  }

  /** Hosts alone, all at the same time, which receive batches that were made before. */
  async #hostRate(count: number): Promise<number> {
    return withHosts(count, this.#folder, async (urls) => {
      const work: (() => Promise<void>)[] = [];
      const batches = prepareBatches(this.#root, this.#sealed);
      for (const client of urls.map((url) => clientOf(url))) {
        await claim(client, this.#root);
        work.push(async () => {
          for (const batch of batches) await client.ship(ORIGIN, batch);
        });
      }
      return perSecond(this.#count, async () => {
        await Promise.all(work.map((ship) => ship()));
      });
    });
  }

  async #replicate(): Promise<{ rate: number; peakMiB: number }> {
    return withHosts(2, this.#folder, async (urls) => {
      const dataDir = `${this.#folder}-run`;
      await cp(this.#folder, dataDir, { recursive: true });
      try {
        const env = { SHERATAN_DATA_DIR: dataDir, OFFGRID_STORAGE_HOSTS: urls.join(','), OFFGRID_AUTH_KEY: AUTH_KEY };
        return await runCore(this.#count, env);
      } finally {
        await rm(dataDir, { recursive: true, force: true });
      }
    });
  }
}

/** Runs a core until it has shipped this many events, or, with none to ship, until it has projected what it has. */
async function runCore(count: number, env: Readonly<Record<string, string>>) {
  const [line] = await firstLine(RUN, [String(count)], env, () => Promise.resolve());
  return JSON.parse(line) as { rate: number; peakMiB: number };
}
