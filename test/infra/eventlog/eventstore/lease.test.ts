import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, onTestFinished, vi, type TestContext } from 'vitest';
import { LogError } from '../../../../src/infra/eventlog/errors.js';
import type { Lease } from '../../../../src/infra/eventlog/lease.js';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { EventStoreLease } from '../../../../src/infra/eventlog/eventstore/lease.js';
import { StandIn } from '../../../support/eventstore/stand-in.js';
import { Store } from '../../../support/eventstore/store.js';
import { quiet } from '../../../support/quiet.js';
import { Random } from '../../../support/random.js';

/** The longest time until another core takes the lease of one that is gone, in milliseconds: several times the usual. */
const LEASE_MS = 30_000;
/** How soon another core takes a released lease, in milliseconds: less than the wait for a holder that is gone. */
const AT_ONCE_MS = 9_000;
/** How long random faults occur, in milliseconds. */
const CHANCE_MS = Number(process.env['LEASE_SECONDS'] ?? 25) * 1_000;
const TIMEOUT_MS = 150_000;

/** A core that tries to take the lease, with its own connection to the one server. */
interface Seeker {
  readonly door: StandIn;
  readonly lease: Lease;
}

type OnFinished = TestContext['onTestFinished'];

/** Starts a number of seekers on one log. */
async function seekers(count: number, onFinished: OnFinished): Promise<Seeker[]> {
  const store = new Store();
  return Promise.all(
    Array.from({ length: count }, async () => {
      const door = await StandIn.start({ store });
      const log = await EventStoreLog.open(readAddress(door.url), quiet);
      const lease = log.lease('work');
      onFinished(async () => {
        door.unstall();
        await door.accept();
        await lease.stop();
        await log.close();
        await door.stop();
      });
      return { door, lease };
    }),
  );
}

/** Continuously checks who holds the lease, and asserts that it is never two, and that the epoch only rises. */
class Lookout {
  readonly #seekers: readonly Seeker[];
  readonly #stopping = new AbortController();
  readonly #looking: Promise<void>;
  changes = 0;

  constructor(all: readonly Seeker[]) {
    this.#seekers = all;
    this.#looking = this.#look();
    this.#looking.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#looking;
  }

  async #look(): Promise<void> {
    let last: Seeker | undefined;
    let epoch = -1n;
    for (;;) {
      // The state when it is stopped is checked too.
      const isLast = this.#stopping.signal.aborted;
      const holders = this.#seekers.filter(({ lease }) => lease.isHeld);
      expect(holders.length).toBeLessThanOrEqual(1);
      const [holder] = holders;
      if (holder !== undefined) {
        if (holder !== last) this.changes += 1;
        expect(holder.lease.epoch).toBeGreaterThanOrEqual(epoch);
        if (last !== undefined && holder !== last) expect(holder.lease.epoch).toBeGreaterThan(epoch);
        ({ epoch } = holder.lease);
        last = holder;
      }
      if (isLast) return;
      await delay(5);
    }
  }
}

const holderOf = (all: readonly Seeker[]) => all.find(({ lease }) => lease.isHeld);

/** Waits for a condition, and returns how long it took, in milliseconds. Concurrent tests cannot use `expect.poll`. */
async function until(isSo: () => boolean, timeoutMs = LEASE_MS): Promise<number> {
  const since = performance.now();
  while (!isSo()) {
    if (performance.now() - since > timeoutMs)
      throw new Error(`it is not so after ${timeoutMs} ms: ${isSo.toString()}`);
    await delay(10);
  }
  return performance.now() - since;
}

async function untilHeld(all: readonly Seeker[], timeoutMs = LEASE_MS): Promise<Seeker> {
  await until(() => holderOf(all) !== undefined, timeoutMs);
  return holderOf(all)!;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a lease', () => {
  it.concurrent(
    'is held by one, and by another soon after the first releases it',
    async ({ onTestFinished: onFinished }) => {
      const all = await seekers(4, onFinished);
      const lookout = new Lookout(all);
      const first = await untilHeld(all);
      await delay(1_500);
      await first.lease.stop();
      expect(first.lease.isHeld).toBe(false);
      const second = await untilHeld(all, AT_ONCE_MS);
      expect(second.lease.epoch).toBeGreaterThan(first.lease.epoch);
      await lookout.stop();
      expect(lookout.changes).toBe(2);
    },
    TIMEOUT_MS,
  );

  for (const way of ['refuse', 'stall'] as const) {
    it.concurrent(
      `is no longer held by one that cannot reach the server (${way}) before another has it`,
      async ({ onTestFinished: onFinished }) => {
        const all = await seekers(3, onFinished);
        const lookout = new Lookout(all);
        const first = await untilHeld(all);
        const cutOffAt = performance.now();
        await first.door[way]();
        await until(() => !first.lease.isHeld);
        const second = await untilHeld(all);
        expect(second).not.toBe(first);
        expect(performance.now() - cutOffAt).toBeLessThan(LEASE_MS);
        first.door.unstall();
        await first.door.accept();
        await delay(4_000);
        expect(holderOf(all)).toBe(second);
        await lookout.stop();
      },
      TIMEOUT_MS,
    );
  }

  it.concurrent(
    'is never held by two, even if connections to the server break at any time',
    async ({ onTestFinished: onFinished }) => {
      const random = new Random(3);
      const all = await seekers(5, onFinished);
      const lookout = new Lookout(all);
      const endsAt = performance.now() + CHANCE_MS;
      while (performance.now() < endsAt) {
        // Mostly the holder's connection: those of the others do not matter.
        const { door } = random.chance(0.7) ? (holderOf(all) ?? random.pick(all)) : random.pick(all);
        const dice = random.next();
        if (dice < 0.3) door.drop();
        else if (dice < 0.6) door.stall();
        else if (dice < 0.8) await door.refuse();
        else door.faults.onAppend(random.pick(['dropAfter', 'timeoutAfter', 'stallAfter', 'timeout']));
        await delay(random.between(100, 4_000));
        if (random.chance(0.6)) {
          door.unstall();
          await door.accept();
        }
      }
      for (const { door } of all) {
        door.unstall();
        await door.accept();
      }
      await untilHeld(all, 2 * LEASE_MS);
      await lookout.stop();
      expect(lookout.changes).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it('keeps its stream short', async () => {
    const [seeker] = await seekers(1, onTestFinished);
    await untilHeld([seeker!]);
    const { events } = seeker!.door.store;
    expect(
      events
        .filter(({ stream }) => stream === '$$lease-work')
        .map(({ data }) => JSON.parse(Buffer.from(data).toString())),
    ).toEqual([{ $maxCount: 20 }]);
  });

  it('is not held by a machine that slept while its steady clock stood still', async () => {
    const [seeker] = await seekers(1, onTestFinished);
    await untilHeld([seeker!]);
    const now = Date.now();
    vi.spyOn(Date, 'now').mockImplementation(() => now + 9_000);
    expect(seeker!.lease.isHeld).toBe(false);
  });

  it('has the epoch of its taking also if the answer to that was lost', async () => {
    const records: { readonly type: string; readonly data: unknown; readonly revision: bigint }[] = [];
    let isLost = true;
    const append = ({
      name,
      events,
    }: {
      readonly name: string;
      readonly events: readonly { type: string; data: unknown }[];
    }) => {
      if (name.startsWith('$$')) return Promise.resolve({ revision: 0n, position: 0n });
      const revision = BigInt(records.length);
      records.push(...events.map(({ type, data }) => ({ type, data, revision })));
      if (!isLost || revision === 0n) return Promise.resolve({ revision, position: 0n });
      isLost = false;
      return Promise.reject(new LogError('LOG_UNAVAILABLE', 'The answer is lost.'));
    };
    records.push({ type: 'LeaseReleased', data: { holder: 'another' }, revision: 0n });
    const lease = new EventStoreLease('work', {
      codec: { streamName: (stream: string) => stream },
      reader: {
        stream: async function* () {
          yield* await Promise.resolve(records.slice(-1));
        },
      },
      appender: { append },
      logger: quiet,
    } as never);
    onTestFinished(() => lease.stop());
    await until(() => lease.isHeld);
    expect(records.map(({ type }) => type)).toEqual(['LeaseReleased', 'LeaseTaken', 'LeaseKept']);
    expect(lease.epoch).toBe(1n);
  });
});
