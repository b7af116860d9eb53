import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Sheratan } from './core.js';
import { MISSION, mutation } from './documents.js';
import type { Untyped } from './node.js';

/** The pause of a user between two actions, in milliseconds: a user is there to notice errors, not to cause load. */
const REST_MS = 10;

/**
 * A client that works with a core and checks in each answer that nothing known before is missing: written data is read
 * back immediately, counts do not decrease, and positions and revisions do not go back.
 */
export class User {
  /** How many requests were answered. */
  answers = 0;
  /** The missions that it created, as the last answer showed them. */
  readonly missions = new Map<string, Untyped>();
  readonly #core: Sheratan;
  readonly #name: string;
  #counts = { missions: 0, jobs: 0 };

  constructor(core: Sheratan, name: string) {
    this.#core = core;
    this.#name = name;
  }

  /** Works until `isEnough` returns true. */
  async work(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) {
      await this.workOnMission();
      await this.#count();
      await delay(REST_MS);
    }
  }

  /** Creates a mission with a task and a job, changes it, and queries it after each step. Resolves with its id. */
  async workOnMission(): Promise<string> {
    const number = this.missions.size;
    const { mission } = await this.#change('createMission', { title: `${this.#name} ${number}` });
    await this.#expectShown(mission, 0);
    const { task } = await this.#change('createTask', { missionId: mission.id, name: `Task ${number}` });
    await this.#change('createJob', { taskId: task.id, payload: { number } });
    await this.#expectShown(mission, 1);
    for (let i = 1; i <= 3; i += 1) {
      const { mission: updated } = await this.#change('updateMission', { id: mission.id, title: `Title ${i}` });
      await this.#expectShown(updated, 1);
    }
    return mission.id;
  }

  /** Checks that a mission is shown as the last answer showed it. */
  async expectKnown(id: string): Promise<void> {
    await this.#expectShown(this.missions.get(id), 1);
  }

  async #change(name: string, input: object): Promise<Untyped> {
    const { [name]: result } = await this.#core.gql(mutation(name), { input, consistency: 'PROJECTED' });
    expect(result).toMatchObject({ durability: 'PROJECTED' });
    this.answers += 1;
    return result;
  }

  async #expectShown(expected: Untyped, pending: number): Promise<void> {
    const { mission } = await this.#core.gql(
      `query ($id: ID!) { mission(id: $id) { ${MISSION} jobCounts { pending } } }`,
      { id: expected.id },
    );
    expect(mission).toEqual({ ...expected, jobCounts: { pending } });
    this.missions.set(expected.id, expected);
    this.answers += 1;
  }

  async #count(): Promise<void> {
    const { missions, jobs } = await this.#core.gql('{ missions { totalCount } jobs { totalCount } }');
    expect(missions.totalCount).toBeGreaterThanOrEqual(this.#counts.missions);
    expect(jobs.totalCount).toBeGreaterThanOrEqual(this.#counts.jobs);
    this.#counts = { missions: missions.totalCount, jobs: jobs.totalCount };
    this.answers += 1;
  }
}
