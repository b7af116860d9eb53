import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { work } from '../../crash/client.js';
import { Machine } from '../../crash/machine.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import type { AppendFault } from '../../support/eventstore/faults.js';
import type { StandIn } from '../../support/eventstore/stand-in.js';
import { apart, startStandIn } from '../../support/log-server.js';
import { Random } from '../../support/random.js';
import { SEED } from '../../support/seed.js';

/** How long the server misbehaves, in seconds. */
const SECONDS = Number(process.env['DROPS_SECONDS'] ?? 30);

/** Clients at a time. */
const CLIENTS = 6;
/** How long the server behaves between two faults, in milliseconds. */
const CALM_MS = [100, 1_200] as const;
/** How long it is down at a time, in milliseconds. */
const DOWN_MS = [50, 800] as const;
/**
 * How long the read model may take to show what the log holds, in milliseconds: an outage, the longest wait before
 * another try (2 s), and the time to catch up, on a busy machine too. It is less than the 10 s after which a core looks
 * whether its subscription has missed something.
 */
const MAX_BEHIND_MS = 9_000;
/**
 * How much more memory the core may hold at the end than in the middle, in MiB: it still fills bounded caches.
 * Measured: 8 in a minute.
 */
const MAX_GROWTH_MIB = 40;

const APPEND_FAULTS: readonly AppendFault[] = ['dropBefore', 'dropAfter', 'timeout', 'timeoutAfter', 'unavailable'];

/** Makes a server misbehave in one way. */
async function disturb(server: StandIn, random: Random): Promise<void> {
  const dice = random.next();
  if (dice < 0.4) server.drop();
  else if (dice < 0.5) server.endSubscriptions();
  else if (dice < 0.6) server.duplicate();
  else if (dice < 0.7) server.failSubscriptions('unavailable');
  else if (dice < 0.9) server.faults.onAppend(random.pick(APPEND_FAULTS), 1, { after: random.between(0, 5) });
  else {
    await server.refuse();
    await delay(random.between(...DOWN_MS));
    await server.accept();
  }
}

/** The position of the last event of a mission, task or job. */
function headOf(server: StandIn): bigint {
  return server.store.events.findLast(({ stream }) => /(^|\.)(mission|task|job)-/.test(stream))?.position ?? 0n;
}

/** What a core holds, garbage included, in MiB. */
async function heapMiB(core: Sheratan): Promise<number> {
  const metrics = await (await fetch(`${core.url}/metrics`)).text();
  return Number(/^nodejs_heap_size_used_bytes (\S+)$/m.exec(metrics)?.[1]) / 1024 ** 2;
}

it(
  `loses and doubles nothing, and stays close behind, on a server that misbehaves for ${SECONDS} s (TEST_SEED=${SEED})`,
  async () => {
    const random = new Random(SEED);
    const server = await startStandIn();
    onTestFinished(() => server.stop());
    const env = { SHERATAN_EVENTSTORE_URL: apart(server.url) };
    const folder = await newDataDir();
    const machine = new Machine(folder, SEED, env);
    onTestFinished(() => machine.kill());
    const core = await Sheratan.serve(folder, env);
    const clients = Array.from({ length: CLIENTS }, (_, i) =>
      work({ core, replicas: undefined }, machine.ledger, new Random(SEED + 1 + i), `worker-${i}`),
    );

    const endsAt = performance.now() + SECONDS * 1_000;
    const isOver = () => performance.now() > endsAt;
    const behind: number[] = [];
    const watch = async () => {
      while (!isOver()) {
        const [head, since] = [headOf(server), performance.now()];
        const position = async () => BigInt(((await core.projection('position')).position as string).split(':')[1]!);
        while ((await position()) < head) await delay(20);
        behind.push(performance.now() - since);
        await delay(50);
      }
    };
    const heap: number[] = [];
    const weigh = async () => {
      while (!isOver()) {
        heap.push(await heapMiB(core));
        await delay(100);
      }
    };
    const misbehave = async () => {
      let disturbances = 0;
      while (!isOver()) {
        await delay(random.between(...CALM_MS));
        await disturb(server, random);
        disturbances += 1;
      }
      return disturbances;
    };
    const [disturbances] = await Promise.all([misbehave(), watch(), weigh()]);
    server.faults.clear();
    // A connection that is dropped while it connects takes a moment to disappear.
    await expect.poll(() => server.connections).toBeLessThanOrEqual(2);
    await core.kill();
    await Promise.all(clients);
    const wrong = await machine.settle();

    // Garbage varies; the minimum over a period is the memory that is really held.
    const third = Math.floor(heap.length / 3);
    const [middle, end] = [Math.min(...heap.slice(third, -third)), Math.min(...heap.slice(-third))];
    const { requests, answered } = machine.ledger;
    console.log(
      `drops: seed ${SEED}, ${disturbances} disturbances, ${server.accepted} connections, ${requests.length} requests, ` +
        `${answered} acknowledged, at most ${Math.round(Math.max(...behind))} ms behind, ` +
        `heap ${Math.round(middle)} → ${Math.round(end)} MiB`,
    );
    expect(wrong).toEqual([]);
    // An idle machine reaches a hundred times that.
    expect(answered).toBeGreaterThan(SECONDS);
    expect(Math.max(...behind)).toBeLessThan(MAX_BEHIND_MS);
    expect(end - middle).toBeLessThan(MAX_GROWTH_MIB);
  },
  (SECONDS + 240) * 1_000,
);
