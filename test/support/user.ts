import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Sheratan } from './core.js';
import { MISSION, mutation } from './documents.js';
import type { Untyped } from './node.js';

/** How long a user rests between two things, in milliseconds: it is there to notice, not to load. */
const REST_MS = 10;

/**
 * Somebody who works with a core and expects of each answer that nothing known before is gone: what was written is read
 * at once, counts don't fall, and positions and revisions don't go back.
 */
export class User {
  /** What it was asked to do and did, in answers. */
  answers = 0;
  /** The missions it made, as it was last told they are. */
  readonly missions = new Map<string, Untyped>();
  readonly #core: Sheratan;
  readonly #name: string;
  #counts = { missions: 0, jobs: 0 };

  constructor(core: Sheratan, name: string) {
    this.#core = core;
    this.#name = name;
  }

  /** Works until it is told to stop. */
  async work(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) {
      await this.workOnMission();
      await this.#count();
      await delay(REST_MS);
    }
  }

  /** Makes a mission with a task and a job, changes it, and looks at it after each step. Resolves with its id. */
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

  /** A mission it made is as it was last told. */
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
