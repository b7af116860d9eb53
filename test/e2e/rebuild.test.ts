import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { writeHistory } from '../../bench/support/history.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { MISSION } from '../support/documents.js';
import type { Untyped } from '../support/node.js';
import { Subscriber } from '../support/subscriber.js';
import { User } from '../support/user.js';

/** Events that a rebuild takes a few seconds for. */
const EVENTS = 80_000;
/** People at work meanwhile. */
const USERS = 3;
/** Clients that query without a pause near the end of a rebuild, and how many events before it: a switch is short. */
const WATCHERS = 4;
const NEAR_EVENTS = EVENTS / 8;
/** How often progress is read, in milliseconds. */
const POLL_MS = 50;
/** How long people continue after the switch, in milliseconds, and how many queries the watchers make by then. */
const AFTERWARDS_MS = 500;
const LOOKS = WATCHERS * 10;
const TIMEOUT_MS = 300_000;

const STATUS = 'state position head behind eventsPerSecond etaSeconds generation';

/** A data folder with a history and its read model, made once and copied for each test. */
let template: string;

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'sheratan-history-'));
  await mkdir(join(template, 'core'));
  await writeHistory(join(template, 'core', 'log.db'), EVENTS);
  for (const name of ['missions', 'outbox']) {
    const { code, errors } = await Sheratan.run(['replay', name], template);
    expect(code, errors.join('\n')).toBe(0);
  }
}, TIMEOUT_MS);

afterAll(() => rm(template, { recursive: true, force: true }));

/** A core with a history that its read model shows. */
async function serveHistory(): Promise<{ core: Sheratan; folder: string; generation: number }> {
  const folder = await newDataDir();
  await cp(template, folder, { recursive: true });
  const core = await Sheratan.serve(folder);
  const { generation } = await core.live();
  return { core, folder, generation };
}

async function mutate(core: Sheratan, what: 'rebuildProjection' | 'cancelRebuild'): Promise<Untyped> {
  const type = what.charAt(0).toUpperCase() + what.slice(1);
  const data = await core.gql(`mutation {
    ${what}(name: "missions") { ... on ${type}Payload { projection { ${STATUS} } } ... on Problem { code } }
  }`);
  return data[what];
}

function numberOf(position: string): number {
  return Number(position.split(':')[1]);
}

/** The status once a rebuild has folded this share of its history; the rebuild must not have ended by then. */
async function rebuiltUpTo(core: Sheratan, share: number): Promise<Untyped> {
  for (;;) {
    const status = await core.projection(STATUS);
    expect(status.state, 'the rebuild took too little time to be looked at').toBe('REBUILDING');
    if (numberOf(status.position) >= share * EVENTS) return status;
    await delay(5);
  }
}

/** Queries the newest mission repeatedly: what was seen once never disappears. */
async function watch(core: Sheratan, isEnough: () => boolean, looked: { count: number }): Promise<void> {
  for (let seen = { position: 0, totalCount: 0 }; !isEnough(); looked.count += 1) {
    const { missions } = await core.gql('{ missions(first: 1) { totalCount edges { node { position } } } }');
    const position = numberOf(missions.edges[0].node.position);
    expect(position).toBeGreaterThanOrEqual(seen.position);
    expect(missions.totalCount).toBeGreaterThanOrEqual(seen.totalCount);
    seen = { position, totalCount: missions.totalCount };
  }
}

/** States that the read model equals a replay of the log, as `sheratan verify` finds beside the running core. */
async function expectVerified(folder: string, digest: string): Promise<void> {
  const { code, output } = await Sheratan.run(['verify'], folder);
  expect(output).toEqual([
    expect.stringContaining('missions: equal at position'),
    `digest ${digest}`,
    expect.stringContaining('outbox: equal at position'),
    expect.stringMatching(/^digest /),
  ]);
  expect(code).toBe(0);
}

describe('a rebuild in a running core', () => {
  it(
    'shows its progress, while people read, write and subscribe as usual, before and after its switch',
    async () => {
      const { core, folder, generation } = await serveHistory();
      const follower = new Subscriber(`${core.url.replace('http', 'ws')}/graphql`);
      onTestFinished(() => follower.dispose());
      await follower.connected();
      const changes = follower.run(
        `subscription ($after: Position) { missionChanged(after: $after) { position mission { ${MISSION} } } }`,
        { after: (await core.projection()).head },
      );
      let isEnough = false;
      const users = Array.from({ length: USERS }, (_, i) => new User(core, `User ${i}`));
      const answers = () => users.reduce((sum, user) => sum + user.answers, 0);
      const work = Promise.all(users.map((user) => user.work(() => isEnough)));

      const { projection: started } = await mutate(core, 'rebuildProjection');
      expect(started).toMatchObject({ state: 'REBUILDING', generation: generation + 1 });
      expect(await mutate(core, 'rebuildProjection')).toEqual({ code: 'PROJECTION_STATE' });
      const answersBefore = answers();
      const statuses: Untyped[] = [started];
      const watching: Promise<void>[] = [];
      const looked = { count: 0 };
      for (let status = started; status.state === 'REBUILDING'; status = await core.projection(STATUS)) {
        statuses.push(status);
        if (status.behind < NEAR_EVENTS && watching.length === 0)
          for (let i = 0; i < WATCHERS; i += 1) watching.push(watch(core, () => isEnough, looked));
        await Promise.race([delay(POLL_MS), work, ...watching]);
      }
      const answersDuring = answers() - answersBefore;
      const looksBefore = looked.count;
      expect(looksBefore, 'no query ran while it switched').toBeGreaterThan(WATCHERS);
      do await Promise.race([delay(AFTERWARDS_MS), work, ...watching]);
      while (looked.count < looksBefore + LOOKS);
      isEnough = true;
      await Promise.all([work, ...watching]);
      console.log(
        `rebuild: ${EVENTS} events, ${answersDuring} answers meanwhile, ${looksBefore} looks before the switch, ${looked.count} in all`,
      );

      expect(answersDuring).toBeGreaterThan(USERS * 10);
      const positions = statuses.map(({ position }) => numberOf(position));
      expect(positions).toEqual(positions.toSorted((a, b) => a - b));
      expect(new Set(positions).size).toBeGreaterThan(2);
      expect(statuses.every((status) => status.generation === generation + 1)).toBe(true);
      const moving = statuses.filter(({ etaSeconds }) => etaSeconds > 0);
      expect(moving.length).toBeGreaterThan(2);
      for (const { behind, head, position, eventsPerSecond, etaSeconds } of moving) {
        expect(behind).toBe(numberOf(head) - numberOf(position));
        // In a file, an event is a position.
        expect(etaSeconds / (behind / eventsPerSecond)).toBeCloseTo(1, 6);
      }

      const { generation: after, digest, head } = await core.live();
      expect(after).toBe(generation + 1);
      await expectVerified(folder, digest);

      const made = new Map(users.flatMap(({ missions }) => [...missions]));
      const newest = Math.max(...[...made.values()].map(({ position }) => numberOf(position)));
      expect(numberOf(head)).toBeGreaterThanOrEqual(newest);
      await expect
        .poll(() => numberOf(changes.values.at(-1).missionChanged.position), { timeout: TIMEOUT_MS / 4 })
        .toBe(newest);
      const followed = changes.values.map(({ missionChanged }) => missionChanged);
      const places = followed.map(({ position }) => numberOf(position));
      expect(places.filter((place, i) => place <= (places[i - 1] ?? 0))).toEqual([]);
      expect(new Map(followed.map(({ mission }) => [mission.id, mission]))).toEqual(made);
      expect(changes.errors).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'is dropped when it is cancelled, and continues where it was when the core is killed',
    async () => {
      const { core, folder, generation } = await serveHistory();
      const user = new User(core, 'User');
      await mutate(core, 'rebuildProjection');
      await rebuiltUpTo(core, 0.1);
      const { projection } = await mutate(core, 'cancelRebuild');
      expect(projection).toMatchObject({ state: 'LIVE', generation });
      expect(await mutate(core, 'cancelRebuild')).toEqual({ code: 'PROJECTION_STATE' });
      await user.workOnMission();

      const { projection: again } = await mutate(core, 'rebuildProjection');
      expect(numberOf(again.position)).toBe(0);
      const id = await user.workOnMission();
      const { position: reached } = await rebuiltUpTo(core, 0.3);
      await core.kill();

      const revived = await Sheratan.serve(folder);
      const status = await revived.projection(STATUS);
      expect(status).toMatchObject({ state: 'REBUILDING', generation: generation + 1 });
      expect(numberOf(status.position)).toBeGreaterThanOrEqual(numberOf(reached));
      // What people see is the generation that was live.
      const witness = new User(revived, 'Witness');
      for (const [known, mission] of user.missions) witness.missions.set(known, mission);
      await witness.expectKnown(id);
      expect((await revived.projection()).state).toBe('REBUILDING');
      await witness.workOnMission();

      const { generation: after, digest } = await revived.live();
      expect(after).toBe(generation + 1);
      for (const known of witness.missions.keys()) await witness.expectKnown(known);
      await expectVerified(folder, digest);
    },
    TIMEOUT_MS,
  );
});
