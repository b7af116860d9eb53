import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { EventLog, ExpectedRevision, NewEvent } from '../../../../src/infra/eventlog/eventlog.js';
import type { AppendFault } from '../../../support/eventstore/faults.js';
import type { StandIn } from '../../../support/eventstore/stand-in.js';
import { collect, idsOf, newEvents, revisionsTo } from '../../../support/events.js';
import { Random } from '../../../support/random.js';
import { Follower, openLog, seedForeign, start, watchUncaught } from './setup.js';

/** The shortest time that faults occur, in milliseconds. */
const LENGTH_MS = 3_000;
/** Faults also continue until this many appends were recorded, because a busy machine is slow. */
const ENOUGH = 50;
/** The longest time that faults occur, in milliseconds. */
const MAX_LENGTH_MS = 40_000;
const STREAMS = 12;

/** Causes one fault after another until `isOver`; then removes all faults. */
async function disturb(server: StandIn, random: Random, isOver: () => boolean): Promise<void> {
  const faults: AppendFault[] = [
    'dropBefore',
    'dropAfter',
    'timeout',
    'timeoutAfter',
    'unavailable',
    'notLeader',
    'notReady',
  ];
  const happenings: (() => unknown)[] = [
    () => server.drop(),
    () => server.endSubscriptions(),
    () => server.failSubscriptions(random.pick(['unavailable', 'notLeader', 'broken'])),
    () => server.duplicate(),
    () => server.checkpoint(server.store.end + BigInt(random.between(0, 5_000))),
    () => server.announceCheckpointsBeyondHead(random.chance(0.5)),
    () => server.store.forgetRecentIds(),
    () => server.faults.onAppend(random.pick(faults), random.between(1, 3), { after: random.between(0, 20) }),
    () =>
      server.faults.onRead(random.pick(['unavailable', 'notLeader', 'broken']), 1, { events: random.between(0, 9) }),
    () =>
      server.faults.onSubscribe(random.pick(['unavailable', 'notLeader', 'broken']), 1, {
        events: random.between(0, 9),
      }),
    () => seedForeign(server, random.between(1, 200)),
    async () => {
      await server.refuse();
      await delay(random.between(1, 200));
      await server.accept();
    },
    async () => {
      server.stall();
      await delay(random.between(1, 200));
      server.unstall();
    },
  ];
  while (!isOver()) {
    await delay(random.between(0, 60));
    await random.pick(happenings)();
  }
  server.faults.clear();
}

interface Attempt {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly outcome: 'recorded' | 'refused' | 'unknown';
  readonly revision?: bigint;
}

/** Appends to shared streams with varying expected revisions, and notes the outcomes. */
async function work(log: EventLog, random: Random, attempts: Attempt[], isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const stream = `${random.pick(['mission', 'task'])}-${random.between(1, STREAMS)}`;
    const events = newEvents(random.between(1, 4));
    const known = await collect(log.readStream(stream, { direction: 'backward', limit: 1 }));
    const last: ExpectedRevision = known[0]?.revision ?? 'no-stream';
    const expected = random.pick<ExpectedRevision>([last, last, 'any', 'exists']);
    try {
      const { revision } = await log.append(stream, events, expected);
      attempts.push({ stream, events, outcome: 'recorded', revision });
    } catch (error) {
      const { code } = error as { code: string };
      if (code !== 'WRONG_EXPECTED_REVISION' && code !== 'LOG_UNAVAILABLE') throw error;
      attempts.push({ stream, events, outcome: code === 'LOG_UNAVAILABLE' ? 'unknown' : 'refused' });
    }
    await delay(random.between(0, 10));
  }
}

describe('under any sequence of faults', () => {
  it.each([1, 2])('every answer is true, and every reader receives the log (seed %i)', async (chance) => {
    const { server, log } = await start();
    const uncaught = watchUncaught();
    const other = await openLog(server.url);
    const random = new Random(chance);
    const fork = () => new Random(random.between(0, 2 ** 31));
    const followers = [new Follower(log), new Follower(log, { filter: { categories: ['task'] } }), new Follower(other)];
    const attempts: Attempt[] = [];
    const recorded = () => attempts.filter(({ outcome }) => outcome === 'recorded').length;
    const begun = performance.now();
    const isOver = () => {
      const elapsed = performance.now() - begun;
      return elapsed > MAX_LENGTH_MS || (elapsed > LENGTH_MS && recorded() > ENOUGH);
    };
    await Promise.all([
      disturb(server, fork(), isOver),
      ...[log, log, log, other, other].map((each) => work(each, fork(), attempts, isOver)),
    ]);

    const all = await collect(log.readAll());
    const ids = idsOf(all);
    expect(ids).toEqual([...new Set(ids)]);
    for (const { stream, events, outcome, revision } of attempts) {
      const there = all.filter(({ id }) => events.some((event) => event.id === id));
      if (outcome === 'refused') expect(there).toEqual([]);
      if (outcome === 'unknown' && there.length === 0) continue;
      if (outcome === 'refused') continue;
      expect(idsOf(there)).toEqual(idsOf(events));
      expect(new Set(there.map((event) => event.stream))).toEqual(new Set([stream]));
      if (revision !== undefined) expect(there.at(-1)?.revision).toBe(revision);
    }
    expect(recorded()).toBeGreaterThan(ENOUGH);
    for (const stream of new Set(all.map((event) => event.stream))) {
      const own = all.filter((event) => event.stream === stream);
      expect(own.map(({ revision }) => revision)).toEqual(revisionsTo(own.length));
    }
    const [everything, tasks, elsewhere] = followers;
    await everything?.has(all.length);
    await elsewhere?.has(all.length);
    const expected = idsOf(all.filter(({ stream }) => stream.startsWith('task-')));
    await tasks?.has(expected.length);
    expect(everything?.ids).toEqual(ids);
    expect(elsewhere?.ids).toEqual(ids);
    expect(tasks?.ids).toEqual(expected);
    expect(followers.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(await log.head()).toBe(all.at(-1)?.position);
    expect(uncaught).toEqual([]);
  });
});
