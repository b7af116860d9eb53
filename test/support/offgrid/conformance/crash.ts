import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { Random } from '../../random.js';
import { SEED } from '../../seed.js';
import { History, Process, Reader, Refused, type HostAt } from '../by-hand.js';

/** A host in a process of its own. */
export interface KillableHost {
  readonly host: HostAt;
  /** Ends it immediately. */
  kill(): Promise<void>;
}

/** The most batches that a host takes in a round before it is killed, and the longest delay until then, in milliseconds. */
const MAX_BATCHES = 6;
const MAX_MORE_MS = 20;
const POLL = { interval: 1, timeout: 20_000 };
/** The most events that a round begins with, so that later rounds take no longer than the first. */
const MAX_KEPT = 60;

/** A state in which a host may be. */
interface State {
  readonly head: History | null;
  readonly staged: History | null;
  readonly epoch: number;
}

/** A process that ships as fast as it can, partly staged, and knows what was acknowledged and what was in transit. */
class Shipper {
  acknowledged: State;
  underWay: State | undefined;
  batches = 0;
  readonly #random: Random;

  constructor(begun: History, random: Random) {
    this.#random = random;
    this.acknowledged = { head: begun, staged: null, epoch: 0 };
  }

  /** Ships under an epoch of its own, in a history that leaves out the end of the present one. */
  async run({ host }: KillableHost, epoch: number): Promise<void> {
    const { head } = this.acknowledged;
    const process = new Process((head ?? History.begin()).root, epoch);
    await process.claim(host);
    let history = head!.on(0, { at: Math.min(MAX_KEPT, Math.max(0, head!.length - 3)) });
    const base = history.length + this.#random.between(0, 59);
    for (;;) {
      const count = this.#random.between(0, 29);
      if (history.length + count === 0) continue;
      const longer = history.on(count, { name: `epoch ${epoch}`, bytes: this.#random.chance(0.4) ? 2_000 : 200 });
      const isStaged = longer.length < base;
      this.underWay = isStaged ? { ...this.acknowledged, staged: longer } : { head: longer, staged: null, epoch };
      await process.ship(host, longer, history.length + 1, longer.length, { base });
      this.acknowledged = this.underWay;
      this.underWay = undefined;
      history = longer;
      this.batches += 1;
    }
  }
}

/**
 * Kills a host while it takes batches, round after round, and checks that each batch is stored completely or not at
 * all, and that everything acknowledged is stored.
 * @param launch starts the host on its folder
 * @returns the running host
 */
export async function killWhileItTakesBatches<H extends KillableHost>(
  launch: () => Promise<H>,
  rounds: number,
): Promise<H> {
  const begun = History.begin();
  const random = new Random(SEED);
  const shipper = new Shipper(begun, new Random(SEED + 1));
  let host = await launch();
  for (let round = 1; round <= rounds; round += 1) {
    const shipping = shipper.run(host, round).catch((error: unknown) => error);
    const life = shipper.batches + random.between(0, MAX_BATCHES - 1);
    await Promise.race([shipping, expect.poll(() => shipper.batches, POLL).toBeGreaterThanOrEqual(life)]);
    await sleep(random.between(0, MAX_MORE_MS));
    await host.kill();
    expect(await shipping).not.toBeInstanceOf(Refused);

    host = await launch();
    const reader = new Reader(host.host, begun.root);
    const { tree, staged, damaged } = await reader.head();
    const shown = { tree: textOf(tree), staged: textOf(staged) };
    const states = [shipper.acknowledged, ...(shipper.underWay === undefined ? [] : [shipper.underWay])];
    const found = states.find(
      (state) => shown.tree === historyText(state.head) && shown.staged === historyText(state.staged),
    );
    expect(found, `round ${round}: ${JSON.stringify(shown)}`).toBeDefined();
    expect(damaged).toBe(0);
    for (const of of ['head', 'staged'] as const) {
      const history = found![of];
      const events = [];
      while (history !== null && events.length < history.length)
        events.push(...(await reader.events(`?of=${of}&after=${events.length}&bytes=4194304`)));
      expect(events, `round ${round}: ${of}`).toEqual(history?.numbered(1, history.length) ?? []);
    }
    shipper.acknowledged = found!;
    shipper.underWay = undefined;
  }
  expect(shipper.batches).toBeGreaterThan(rounds);
  return host;
}

function historyText(history: History | null): string {
  return history === null || history.length === 0
    ? 'nothing'
    : `${history.length} ${toHex(history.rootAt(history.length))}`;
}

function textOf(tree: { sequence: number; root: Uint8Array } | null): string {
  return tree === null ? 'nothing' : `${tree.sequence} ${toHex(tree.root)}`;
}
