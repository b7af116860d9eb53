import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import type { HostError } from '../../../../src/infra/offgrid/replicator/host-port.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { HostProcess } from '../../../support/offgrid/host-process.js';
import { digests, evidenceOf, rootOf } from '../../../support/offgrid/raw.js';
import { ORIGIN, Writer } from '../../../support/offgrid/writer.js';

/** How often the host is killed: more to look for what is rare. */
const ROUNDS = Number(process.env['HOST_CRASH_ROUNDS'] ?? 5);
/** What it takes in a round at the most before it is killed, and how long it may then still live, in milliseconds. */
const MAX_BATCHES = 6;
const MAX_MORE_MS = 20;
const POLL = { interval: 1, timeout: 20_000 };
const TIMEOUT_MS = 30_000 + ROUNDS * 5_000;
const PAGE = 500;
/** Events that outlive a round, so that many rounds take no longer than a few. */
const MAX_KEPT = 100;

/** What a host may have. */
interface State {
  readonly events: readonly AddressedEvent[];
  readonly epoch: number;
}

/** A writer that ships as fast as it can, and knows what was acknowledged and what was under way. */
class Shipper {
  acknowledged: State = { events: [], epoch: 0 };
  underWay: State | undefined;
  batches = 0;
  #writer = new Writer(RootKey.generate());

  /** Under an epoch of its own: its first batch sets aside the end of what is there. */
  async run(host: HostProcess, epoch: number): Promise<void> {
    this.#writer = this.#writer.next(epoch);
    await this.#writer.claim(host.client);
    let since = Math.min(MAX_KEPT, Math.max(0, this.acknowledged.events.length - 3));
    for (;;) {
      const count = 1 + Math.floor(Math.random() * 30);
      const bytes = Math.random() < 0.4 ? 2_000 : 200;
      const batch = this.#writer.events(since + 1, since + count, `epoch ${epoch}`, bytes);
      this.underWay = { events: [...this.acknowledged.events.slice(0, since), ...batch], epoch };
      const head = await this.#writer.ship(host.client, batch);
      this.acknowledged = this.underWay;
      this.underWay = undefined;
      expect(head).toMatchObject({ sequence: since + count, epoch, root: rootOf(this.acknowledged.events) });
      since += count;
      this.batches += 1;
    }
  }
}

async function allOf(host: HostProcess) {
  const events = [];
  for (let page = await host.client.events(ORIGIN, 0, PAGE); page.length > 0;) {
    events.push(...page);
    page = await host.client.events(ORIGIN, events.length, PAGE);
  }
  return events;
}

it(
  'a host that is killed while it takes batches has each whole or not at all, and its head never lies',
  { timeout: TIMEOUT_MS },
  async () => {
    const folder = await newFolder();
    const shipper = new Shipper();
    let outcomes = { whole: 0, absent: 0 };
    let host = await HostProcess.start(folder);
    for (let round = 1; round <= ROUNDS; round += 1) {
      const shipping = shipper.run(host, round).catch((error: unknown) => error);
      const life = shipper.batches + Math.floor(Math.random() * MAX_BATCHES);
      await Promise.race([shipping, expect.poll(() => shipper.batches, POLL).toBeGreaterThanOrEqual(life)]);
      await sleep(Math.random() * MAX_MORE_MS);
      await host.kill();
      // A disk that is busy can keep a process from ending for longer than the client waits.
      expect(['UNREACHABLE', 'TIMEOUT']).toContain(((await shipping) as HostError).code);

      host = await HostProcess.start(folder);
      const head = await host.client.head(ORIGIN, 'c').catch((error: unknown) => error);
      const { acknowledged, underWay } = shipper;
      if (acknowledged.events.length === 0 && underWay === undefined) continue;
      const states = [acknowledged, ...(underWay === undefined ? [] : [underWay])];
      const found = states.find(({ events }) => rootOf(events) === (head as { root: string }).root);
      expect(found, `round ${round}`).toBeDefined();
      expect(head).toMatchObject({ sequence: found!.events.length, epoch: found!.epoch });
      expect(digests(await allOf(host))).toEqual(digests(found!.events));
      if (underWay !== undefined)
        outcomes =
          found === underWay
            ? { ...outcomes, whole: outcomes.whole + 1 }
            : { ...outcomes, absent: outcomes.absent + 1 };
      shipper.acknowledged = found!;
      shipper.underWay = undefined;
    }
    expect(shipper.batches).toBeGreaterThan(ROUNDS);
    const evidence = await evidenceOf(folder);
    expect(new Set(evidence.map(({ kind }) => kind))).toEqual(new Set(['SET_ASIDE']));
    const files = await readdir(join(folder, 'blobs'), { recursive: true });
    expect(files.filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(await host.stop()).toBe(0);
    if (ROUNDS >= 100)
      expect(outcomes).toEqual({ whole: expect.toSatisfy((n) => n > 0), absent: expect.toSatisfy((n) => n > 0) });
  },
);
