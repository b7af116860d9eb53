import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TRAVELLING_TYPES } from '../../src/domain/event.js';
import { systemClock } from '../../src/infra/clock.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded.js';
import { corePaths } from '../../src/infra/core-paths.js';
import { Sealer } from '../../src/infra/offgrid/replicator/sealer.js';
import type { AddressedEvent } from '../../src/infra/offgrid/wire/batch.js';
import { AUTH_KEY, clientOf, firstLine, ORIGIN, prepareBatches, withHosts } from './hosts.js';
import { inTurns } from './callers.js';
import { perSecond, perSecondText, progress } from './measure.js';
import { prepareEvents } from './rows.js';
import { travelling } from './travelling.js';

const STREAMS = 100;
const RUN = fileURLToPath(new URL('./replicate-run.js', import.meta.url));

/** What one round came to: events a second, and the core's peak memory. */
export interface Round {
  readonly ours: number;
  readonly read: number;
  readonly seal: number;
  readonly host: number;
  readonly peakMiB: number;
}

/** A core's data folder with events that no host has seen, and what is measured with it. */
export class Replicated {
  readonly #folder: string;
  readonly #count: number;
  readonly #root = RootKey.generate();
  readonly #sealed: readonly AddressedEvent[];

  private constructor(folder: string, count: number) {
    this.#folder = folder;
    this.#count = count;
    const sealer = new Sealer(this.#root, ORIGIN);
    this.#sealed = travelling(count).map((event) => sealer.seal(event, []));
  }

  static async prepare(scratch: string, count: number): Promise<Replicated> {
    const folder = join(scratch, `template-${count}`);
    const { folder: core, log: path } = corePaths(folder);
    await mkdir(core, { recursive: true });
    const log = await EmbeddedLog.open(path, systemClock);
    await inTurns(prepareEvents(count, STREAMS), STREAMS, ({ stream, event, revision }) =>
      log.append(stream, [event], revision === 0 ? 'no-stream' : BigInt(revision - 1)),
    );
    await log.close();
    return new Replicated(folder, count);
  }

  /** Bytes of all envelopes. */
  get sealedBytes(): number {
    return this.#sealed.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
  }

  async run(round: number): Promise<Round> {
    const [read, seal, host] = [await this.#readRate(), await this.#sealRate(), await this.#hostRate()];
    const { rate: ours, peakMiB } = await this.#replicate();
    const stages = `read ${perSecondText(read)}, seal ${perSecondText(seal)}, host ${perSecondText(host)}`;
    progress(`round ${round}: ${perSecondText(ours)}; ${stages}; peak ${peakMiB.toFixed(0)} MiB`);
    return { ours, read, seal, host, peakMiB };
  }

  async peakMiB(): Promise<number> {
    return (await this.#replicate()).peakMiB;
  }

  async #readRate(): Promise<number> {
    const log = await EmbeddedLog.open(corePaths(this.#folder).log, systemClock);
    try {
      return await perSecond(this.#count, async () => {
        for await (const _ of log.readAll({ filter: { types: TRAVELLING_TYPES } }));
      });
    } finally {
      await log.close();
    }
  }

  #sealRate(): Promise<number> {
    const events = travelling(Math.min(this.#count, 20_000));
    const sealer = new Sealer(this.#root, ORIGIN);
    return perSecond(events.length, () => {
      for (const event of events) sealer.seal(event, []);
      return Promise.resolve();
    });
  }

  /** One host alone, which is sent batches that are made already. */
  async #hostRate(): Promise<number> {
    return withHosts(1, this.#folder, async ([url = '']) => {
      const client = clientOf(url);
      const batches = await prepareBatches(client, this.#root, this.#sealed);
      return perSecond(this.#count, async () => {
        for (const batch of batches) await client.ship(ORIGIN, batch);
      });
    });
  }

  async #replicate(): Promise<{ rate: number; peakMiB: number }> {
    return withHosts(2, this.#folder, async (urls) => {
      const dataDir = `${this.#folder}-run`;
      await cp(this.#folder, dataDir, { recursive: true });
      try {
        const env = { SHERATAN_DATA_DIR: dataDir, OFFGRID_STORAGE_HOSTS: urls.join(','), OFFGRID_AUTH_KEY: AUTH_KEY };
        const [line] = await firstLine(RUN, [String(this.#count)], env, () => Promise.resolve());
        return JSON.parse(line) as { rate: number; peakMiB: number };
      } finally {
        await rm(dataDir, { recursive: true, force: true });
      }
    });
  }
}
