import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { Sheratan } from '../support/core.js';
import type { Untyped } from '../support/node.js';
import { Random } from '../support/random.js';
import { Subscriber } from '../support/subscriber.js';
import { followTorn, type Seen } from '../support/torn.js';
import { SEED } from '../support/seed.js';

/** How long a client does not read, in seconds. */
const PAUSE_SECONDS = Number(process.env['SUBSCRIPTIONS_PAUSE_SECONDS'] ?? 60);

/** Changes made while clients lose their connections. */
const CHANGES = 10_000;
/** Who makes them. */
const CLIENTS = 8;
/** Missions there are from the start. */
const MISSIONS = 100;

/**
 * Changes of each kind in one request; a request of many costs less than many requests. Updates are of the missions
 * that exist from the start: a client that misses a change of another does not see it later.
 */
const KINDS = { createMission: 4, createTask: 2, updateMission: 14 };
const CHANGES_PER_REQUEST = Object.values(KINDS).reduce((sum, count) => sum + count, 0);

/** Subscriptions to missions of the client that does not read, and those to the log. */
const ROW_FEEDS = 40;
const LOG_FEEDS = 2;
/** Changes while it does not read: of few missions, each of about as many KiB as metadata may have. */
const LARGE_CHANGES = 400;
const LARGE_MISSIONS = 4;
const LARGE_KIB = 60;
/**
 * How much the core's memory may grow meanwhile, in MiB. What it may hold for the client is a page of rows, a batch of
 * events and one value on its way for each subscription: about 15 MiB here. The rest is room for garbage that V8 saw no
 * need to collect yet: measured, the core grows by 45 MiB without any subscriber, by 95 MiB with this one, and by
 * 1,100 MiB if each subscription had a queue.
 */
const MAX_GROWTH_MIB = 250;

const EVENT = 'id position stream revision type data metadata { correlationId }';
const EVENTS_AFTER = `subscription ($after: Position) { eventRecorded(after: $after) { position event { ${EVENT} } } }`;
const MISSION = 'id title revision position';
const MISSIONS_AFTER = `subscription ($after: Position) { missionChanged(after: $after) { position mission { ${MISSION} } } }`;

/** A core that is removed with its test, and its data folder. The tests run at the same time, so each has its own context. */
async function serve({ onTestFinished }: TestContext): Promise<Sheratan> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-e2e-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const core = new Sheratan(['serve'], folder);
  onTestFinished(() => core.kill());
  await core.listening();
  return core;
}

function webSocketOf({ url }: Sheratan): string {
  return `${url.replace('http', 'ws')}/graphql`;
}

/** Every event of the log, as queries show it. */
async function readLog(core: Sheratan): Promise<Untyped[]> {
  const log: Untyped[] = [];
  for (let after: string | null = null, more = true; more;) {
    const { events }: Untyped = await core.gql(
      `query ($after: Position) { events(after: $after) { edges { node { ${EVENT} } } pageInfo { hasNextPage endCursor } } }`,
      { after },
    );
    log.push(...events.edges.map(({ node }: Untyped): Untyped => node));
    ({ hasNextPage: more, endCursor: after } = events.pageInfo);
  }
  return log;
}

function numberOf(position: string): number {
  return Number(position.split(':')[1]);
}

/** One mutation that makes `CHANGES_PER_REQUEST` changes. */
function manyChanges(): string {
  const fields = Object.entries(KINDS).flatMap(([name, count]) => {
    const type = name.charAt(0).toUpperCase() + name.slice(1);
    return Array.from({ length: count }, (_, i) => ({
      variable: `$${name}${i}: ${type}Input!`,
      field: `${name}${i}: ${name}(input: $${name}${i}, consistency: APPENDED) {
        ... on ${type}Payload { position } ... on Problem { code message }
      }`,
    }));
  });
  return `mutation (${fields.map(({ variable }) => variable).join(', ')}) { ${fields.map(({ field }) => field).join('\n')} }`;
}

/** Makes `CHANGES` changes to a core, by `CLIENTS` clients at a time. Resolves with the problems that occurred. */
async function makeChanges(core: Sheratan, missions: readonly string[], random: Random): Promise<unknown[]> {
  const document = manyChanges();
  const problems: unknown[] = [];
  let requests = CHANGES / CHANGES_PER_REQUEST;
  let number = 0;
  const input = {
    createMission: () => ({ title: `Mission ${++number}`, tags: ['e2e'] }),
    createTask: () => ({ missionId: random.pick(missions), name: `Task ${++number}`, params: { number } }),
    updateMission: () => ({ id: random.pick(missions), title: `Title ${++number}` }),
  };
  const client = async () => {
    while (requests > 0) {
      requests -= 1;
      const variables = Object.entries(KINDS).flatMap(([name, count]) =>
        Array.from({ length: count }, (_, i) => [`${name}${i}`, input[name as keyof typeof KINDS]()] as const),
      );
      const answers: Untyped[] = Object.values(await core.gql(document, Object.fromEntries(variables)));
      for (const { code, message } of answers) {
        if (code !== undefined) problems.push({ code, message });
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return problems;
}

async function newMission(core: Sheratan, title: string): Promise<string> {
  const { createMission } = await core.gql(
    'mutation ($title: String!) { createMission(input: { title: $title }) { ... on CreateMissionPayload { mission { id } } } }',
    { title },
  );
  return createMission.mission.id;
}

/** Every mission as queries show it, by its id. */
async function shownMissions(core: Sheratan): Promise<Map<string, Untyped>> {
  const shown = new Map<string, Untyped>();
  let after: string | null = null;
  do {
    const { missions }: Untyped = await core.gql(
      `query ($after: String) {
        missions(first: 100, after: $after) { edges { node { ${MISSION} } } pageInfo { hasNextPage endCursor } }
      }`,
      { after },
    );
    for (const { node } of missions.edges) shown.set(node.id, node);
    after = missions.pageInfo.hasNextPage ? missions.pageInfo.endCursor : null;
  } while (after !== null);
  return shown;
}

/** The first place where two lists differ: lists of ten thousand must not be printed. */
function firstDifference(actual: readonly unknown[], expected: readonly unknown[]) {
  const index = Array.from({ length: Math.max(actual.length, expected.length) }).findIndex(
    (_, i) => JSON.stringify(actual[i]) !== JSON.stringify(expected[i]),
  );
  return index < 0 ? undefined : { index, actual: actual.slice(index, index + 3), expected: expected[index] };
}

/** States that a client saw the log: every event, once, in order. */
function expectLog({ values, errors }: Pick<Seen, 'values' | 'errors'>, log: readonly Untyped[]): void {
  expect(errors).toEqual([]);
  const recorded = log.map((event) => ({ position: event.position, event }));
  expect(firstDifference(values, recorded)).toBeUndefined();
}

/** States that what a client saw last of each mission is what queries show, and that it saw nothing out of order. */
function expectLastStates({ values, errors }: Seen, shown: ReadonlyMap<string, Untyped>): void {
  expect(errors).toEqual([]);
  const positions = values.map(({ position }) => numberOf(position));
  expect(positions.filter((position, i) => position <= (positions[i - 1] ?? 0))).toEqual([]);
  const last = new Map(values.map(({ mission }) => [mission.id, mission]));
  expect(last.size).toBe(shown.size);
  expect([...shown].filter(([id, mission]) => JSON.stringify(last.get(id)) !== JSON.stringify(mission))).toEqual([]);
}

describe.concurrent('subscriptions', () => {
  it(`show clients that lose their connections every event once, and every row's last state (TEST_SEED=${SEED})`, async (context) => {
    const core = await serve(context);
    const start = (await core.projection()).head;
    const missions: string[] = [];
    for (let i = 0; i < MISSIONS; i += 1) missions.push(await newMission(core, `Mission ${i}`));

    const ends: { event?: string; change?: string } = {};
    const follow = (document: string, seed: number, end: () => string | undefined) =>
      followTorn(webSocketOf(core), document, start, new Random(seed), end);
    const following = Promise.all([
      follow(EVENTS_AFTER, SEED + 1, () => ends.event),
      follow(MISSIONS_AFTER, SEED + 2, () => ends.change),
    ]);
    expect(await makeChanges(core, missions, new Random(SEED))).toEqual([]);
    const log = await readLog(core);
    ends.event = log.at(-1).position;
    ends.change = log.findLast(({ stream }) => stream.startsWith('mission-')).position;
    const [events, changes] = await following;
    console.log(
      `subscriptions: seed ${SEED}, ${log.length} events over ${events.connections} connections, ` +
        `${changes.values.length} changes over ${changes.connections}`,
    );

    expect(log).toHaveLength(CHANGES + MISSIONS);
    const shown = await shownMissions(core);
    expect(shown.size).toBe(log.filter(({ type }) => type === 'MissionCreated').length);
    expectLog(events, log);
    expectLastStates(changes, shown);
    // More connections than a lucky client would need.
    expect(Math.min(events.connections, changes.connections)).toBeGreaterThan(10);

    // A client that connects after all changes, and stays connected, gets them from the files.
    const late = new Subscriber(webSocketOf(core));
    context.onTestFinished(() => late.dispose());
    const lateEvents = late.run(EVENTS_AFTER, { after: start });
    const lateChanges = late.run(MISSIONS_AFTER, { after: start });
    await Promise.all([lateEvents.take(log.length), lateChanges.take(shown.size)]);
    const { errors } = lateEvents;
    expectLog({ values: lateEvents.values.map(({ eventRecorded }) => eventRecorded), errors }, log);
    expect(lateChanges.values.map(({ missionChanged }) => missionChanged.mission)).toEqual(
      [...shown.values()].toSorted((a, b) => numberOf(a.position) - numberOf(b.position)),
    );
  }, 300_000);

  it(
    `cost a core bounded memory when a client does not read for ${PAUSE_SECONDS} seconds, and show it the last state then`,
    async (context) => {
      const core = await serve(context);
      const missions: string[] = [];
      for (let i = 0; i < LARGE_MISSIONS; i += 1) missions.push(await newMission(core, `Mission ${i}`));
      let number = 0;
      const change = async () => {
        number += 1;
        const input = {
          id: missions[number % LARGE_MISSIONS],
          title: `Title ${number}`,
          metadata: { ballast: `${number} `.repeat((LARGE_KIB * 1024) / `${number} `.length) },
        };
        const { updateMission } = await core.gql(
          `mutation ($input: UpdateMissionInput!) {
            updateMission(input: $input) { __typename ... on UpdateMissionPayload { position } }
          }`,
          { input },
        );
        expect(updateMission.__typename).toBe('UpdateMissionPayload');
        return updateMission.position as string;
      };

      const reader = new Subscriber(webSocketOf(core));
      context.onTestFinished(() => reader.dispose());
      await reader.connected();
      const { head: after } = await core.projection();
      const follow = (count: number, document: string) =>
        Array.from({ length: count }, () => reader.run(document, { after }));
      const rows = follow(
        ROW_FEEDS,
        'subscription ($after: Position) { missionChanged(after: $after) { position mission { id title metadata } } }',
      );
      const logs = follow(
        LOG_FEEDS,
        'subscription ($after: Position) { eventRecorded(after: $after) { position event { id type data } } }',
      );
      // Memory is measured once every part has been used: a core that has just started still has much to load.
      while (number < LARGE_MISSIONS * 5) await change();
      await Promise.all([...rows, ...logs].map((feed) => feed.take(LARGE_MISSIONS)));
      const before = await core.residentMiB();

      reader.pause();
      let peak = before;
      let last = '';
      for (let i = 0; i < LARGE_CHANGES; i += 1) {
        const rest = delay((PAUSE_SECONDS * 1_000) / LARGE_CHANGES);
        last = await change();
        peak = Math.max(peak, await core.residentMiB());
        await rest;
      }
      const seenBefore = Math.max(...rows.map(({ values }) => values.length));
      reader.resume();

      const behind = () => [...rows, ...logs].filter(({ values }) => at(values) !== last);
      await vi.waitFor(() => expect(behind()).toHaveLength(0), { timeout: 90_000, interval: 50 });

      peak = Math.max(peak, await core.residentMiB());
      console.log(`subscriptions: a core of ${before.toFixed()} MiB grew to ${peak.toFixed()} MiB`);
      expect(peak - before).toBeLessThan(MAX_GROWTH_MIB);

      for (const { values, errors } of rows) {
        expect(errors).toEqual([]);
        // The latest state of each row, and what was on its way: no queue of old ones.
        expect(values.length - seenBefore).toBeLessThan(LARGE_CHANGES / 10);
        const titles = new Map(values.map(({ missionChanged: { mission } }) => [mission.id, mission.title]));
        const expected = missions.map((_, i) => `Title ${number - ((number - i) % LARGE_MISSIONS)}`);
        expect(missions.map((id) => titles.get(id))).toEqual(expected);
      }
      for (const { values, errors } of logs) {
        expect(errors).toEqual([]);
        expect(values.map(({ eventRecorded: { event } }) => event.data.title)).toEqual(
          Array.from({ length: number }, (_, i) => `Title ${i + 1}`),
        );
      }
    },
    PAUSE_SECONDS * 1_000 + 240_000,
  );
});

function at(values: readonly Untyped[]): string | undefined {
  const { missionChanged, eventRecorded } = values.at(-1) ?? {};
  return (missionChanged ?? eventRecorded)?.position;
}
