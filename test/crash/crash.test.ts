import { expect, it, onTestFinished } from 'vitest';
import { newDataDir } from '../support/core.js';
import { apart, REAL_SERVER, startStandIn } from '../support/log-server.js';
import { Machine } from './machine.js';

/** How often a core is killed. */
const ROUNDS = Number(process.env['CRASH_ROUNDS'] ?? 100);
/** Where chance starts; a failure can be looked into with the one it printed. */
const SEED = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);
/** Machines at a time. */
const MACHINES = 2;
/** The read model is compared with a replay every so many rounds. */
const THOROUGH = 10;
/** The longest a round may take, in milliseconds. */
const ROUND_TIMEOUT_MS = 15_000;

/** Where the log is: tests that are run on a server have it there; others have it in a file, and some on a stand-in. */
const PLACES =
  REAL_SERVER === ''
    ? [
        { place: 'its own file', rounds: ROUNDS, server: undefined },
        { place: 'a server', rounds: Math.ceil(ROUNDS / 10), server: startStandIn },
      ]
    : [{ place: 'the server', rounds: ROUNDS, server: undefined }];

it.each(PLACES)(
  `with its log on $place, loses, doubles and invents nothing when it is killed $rounds times (CRASH_SEED=${SEED})`,
  async ({ place, rounds, server }) => {
    const standIn = await server?.();
    onTestFinished(async () => standIn?.stop());
    const machines = await Promise.all(
      Array.from({ length: MACHINES }, async (_, i) => {
        const env = standIn === undefined ? {} : { EVENTSTORE_URL: apart(standIn.url) };
        return new Machine(await newDataDir(), SEED + i, env);
      }),
    );
    onTestFinished(async () => {
      await Promise.all(machines.map((machine) => machine.kill()));
    });
    let round = 0;
    const live = async (machine: Machine) => {
      while (round < rounds) {
        round += 1;
        expect(await machine.round(round % THOROUGH < MACHINES), `round ${round}`).toEqual([]);
      }
      expect(await machine.settle()).toEqual([]);
    };
    await Promise.all(machines.map(live));

    const sum = (count: (machine: Machine) => number) => machines.reduce((total, machine) => total + count(machine), 0);
    const events = await Promise.all(machines.map(async (machine) => (await machine.events()).length));
    const totals = {
      rounds,
      duringStart: sum(({ totals: { duringStart } }) => duringStart),
      duringRebuild: sum(({ totals: { duringRebuild } }) => duringRebuild),
      requests: sum(({ ledger }) => ledger.requests.length),
      acknowledged: sum(({ ledger }) => ledger.answered),
      retried: sum(({ totals: { retried } }) => retried),
      events: events.reduce((total, count) => total + count, 0),
    };
    console.log(`crash: log on ${place}, seed ${SEED}, ${JSON.stringify(totals)}`);
    expect(totals.acknowledged).toBeGreaterThan(rounds);
  },
  ROUNDS * ROUND_TIMEOUT_MS,
);
