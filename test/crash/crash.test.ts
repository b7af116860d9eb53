import { expect, it, onTestFinished } from 'vitest';
import { newDataDir } from '../support/core.js';
import { apart, REAL_SERVER, startStandIn } from '../support/log-server.js';
import { Machine } from './machine.js';
import { Replicas } from './replicas.js';
import { SEED } from '../support/seed.js';

/** How often a core is killed, and a host at least as often. */
const ROUNDS = Number(process.env['CRASH_ROUNDS'] ?? 20);
/** Machines at a time. */
const MACHINES = 2;
/** After this many rounds the read model is compared with a replay. */
const THOROUGH = 10;
/** The longest a round may take, in milliseconds. */
const ROUND_TIMEOUT_MS = 30_000;
/** The longest that the end may take, in milliseconds. */
const END_TIMEOUT_MS = 420_000;

/**
 * Where the log is: on the server if the tests run against one; otherwise in a file, and for some on a stand-in. Machines
 * with a file replicate to hosts, which are killed as well.
 */
const PLACES =
  REAL_SERVER === ''
    ? [
        { place: 'its own file', rounds: ROUNDS, server: undefined, hasHosts: true },
        { place: 'a server', rounds: Math.ceil(ROUNDS / 10), server: startStandIn, hasHosts: false },
      ]
    : [{ place: 'the server', rounds: ROUNDS, server: undefined, hasHosts: false }];

it.each(PLACES)(
  `with its log on $place, a core loses, duplicates and invents nothing when it is killed $rounds times (TEST_SEED=${SEED})`,
  async ({ place, rounds, server, hasHosts }) => {
    const standIn = await server?.();
    onTestFinished(async () => standIn?.stop());
    const made = await Promise.all(
      Array.from({ length: MACHINES }, async (_, i) => {
        const env = standIn === undefined ? {} : { SHERATAN_EVENTSTORE_URL: apart(standIn.url) };
        const dataDir = await newDataDir();
        const replicas = hasHosts ? await Replicas.start(dataDir) : undefined;
        return { machine: new Machine(dataDir, SEED + i, env, replicas), replicas };
      }),
    );
    const machines = made.map(({ machine }) => machine);
    onTestFinished(async () => {
      await Promise.all(machines.map((machine) => machine.end()));
    });
    let round = 0;
    const live = async (machine: Machine) => {
      try {
        while (round < rounds) {
          round += 1;
          expect(await machine.round(round % THOROUGH < MACHINES), `round ${round}`).toEqual([]);
        }
        expect(await machine.settle()).toEqual([]);
      } finally {
        // One fault is enough; the other machine must not leave processes behind.
        round = rounds;
      }
    };
    for (const end of await Promise.allSettled(machines.map(live))) if (end.status === 'rejected') throw end.reason;

    const sum = (count: (machine: Machine) => number) => machines.reduce((total, machine) => total + count(machine), 0);
    const events = await Promise.all(machines.map(async (machine) => (await machine.events()).length));
    const hosts = made.flatMap(({ replicas }) => replicas?.totals ?? []);
    const totals = {
      rounds,
      hosts: {
        kills: hosts.reduce((total, { kills }) => total + kills, 0),
        duringStart: hosts.reduce((total, { duringStart }) => total + duringStart, 0),
      },
      duringStart: sum(({ totals: { duringStart } }) => duringStart),
      duringRebuild: sum(({ totals: { duringRebuild } }) => duringRebuild),
      requests: sum(({ ledger }) => ledger.requests.length),
      acknowledged: sum(({ ledger }) => ledger.answered),
      replicated: sum(({ ledger }) => ledger.replicated.length),
      retried: sum(({ totals: { retried } }) => retried),
      events: events.reduce((total, count) => total + count, 0),
    };
    console.log(`crash: log on ${place}, seed ${SEED}, ${JSON.stringify(totals)}`);
    expect(totals.acknowledged).toBeGreaterThan(rounds);
    if (!hasHosts) return;
    expect(totals.hosts.kills).toBeGreaterThanOrEqual(rounds);
    expect(totals.replicated).toBeGreaterThan(rounds / 10);
  },
  END_TIMEOUT_MS + ROUNDS * ROUND_TIMEOUT_MS,
);
