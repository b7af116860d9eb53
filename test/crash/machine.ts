import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RecordedEvent } from '../../src/domain/event.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { verify } from '../../src/infra/projector/verify.js';
import { missions } from '../../src/projections/missions.js';
import { Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import { withLogOf } from '../support/log-server.js';
import { Random } from '../support/random.js';
import { Audit } from './audit.js';
import { send, work } from './client.js';
import { Ledger } from './ledger.js';

/** Clients at a time. */
const CLIENTS = 6;
/** The least and the most a core is left to work before it is killed, in milliseconds. */
const LIFE_MS = [50, 400] as const;
/** How often a core is killed while it starts. */
const EARLY_KILLS = 0.15;
/** How often a rebuild is under way when it is killed. */
const REBUILDS = 0.3;

/** A data folder whose core is killed again and again while clients work with it. */
export class Machine {
  readonly ledger = new Ledger();
  readonly totals = { kills: 0, duringStart: 0, duringRebuild: 0, retried: 0 };
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #random: Random;
  readonly #audit = new Audit();
  #core: Sheratan | undefined;
  #startMs = 1_000;

  /** @param env settings of its core, beside the folder */
  constructor(folder: string, seed: number, env: Readonly<Record<string, string>> = {}) {
    this.#folder = folder;
    this.#env = env;
    this.#random = new Random(seed);
  }

  /** Starts the core, looks whether all is well, lets clients work, and kills it. Resolves with what is not well. */
  async round(isThorough: boolean): Promise<string[]> {
    if (this.#random.chance(EARLY_KILLS)) await this.#killWhileStarting();
    const core = await this.#start();
    if ((await core.projection()).state === 'REBUILDING') this.totals.duringRebuild += 1;
    const wrong = [...(await this.audit()), ...(isThorough ? await this.#replay() : [])];
    this.totals.retried += this.ledger.lost.length;
    const clients = Array.from({ length: CLIENTS }, (_, i) => {
      const random = new Random(this.#random.between(0, 2 ** 31));
      return work(core, this.ledger, random, `worker-${i}`);
    });
    const lifeMs = this.#random.between(...LIFE_MS);
    if (this.#random.chance(REBUILDS)) {
      const after = this.#random.between(0, lifeMs);
      clients.push(delay(after).then(() => this.#rebuild(core)));
    }
    await delay(lifeMs);
    await this.kill();
    await Promise.all(clients);
    return wrong;
  }

  /** Starts once more, asks again what was not answered, repeats some of what was, and proves the read model. */
  async settle(): Promise<string[]> {
    const core = await this.#start();
    const { lost, requests } = this.ledger;
    for (const request of lost.splice(0)) await send(core, this.ledger, request);
    const answered = requests.filter(({ key, answer }) => key !== undefined && answer !== undefined);
    for (const request of answered.filter(({ name }) => name !== 'claimJobs').slice(-200)) {
      const before = request.answer;
      await send(core, this.ledger, request);
      // A request that was refused may be carried out when it is made again: what it was refused for can have changed.
      if (
        before !== undefined &&
        'places' in before &&
        JSON.stringify(request.answer, big) !== JSON.stringify(before, big)
      )
        this.ledger.surprises.push(`${request.name} ${request.key ?? ''} was answered otherwise when it was repeated`);
    }
    const { digest } = await core.live();
    const wrong = [...(await this.audit()), ...(await this.#replay(digest))];
    const events = await this.events();
    const { missions: shown, jobs } = await core.gql('{ missions { totalCount } jobs { totalCount } }');
    const count = (type: string) => events.filter((event) => event.type === type).length;
    if (shown.totalCount !== count('MissionCreated')) wrong.push('the read model has another number of missions');
    if (jobs.totalCount !== count('JobCreated')) wrong.push('the read model has another number of jobs');
    return wrong;
  }

  /** Compares the log, as another process reads it, with what clients were told. */
  async audit(): Promise<string[]> {
    return this.#audit.check(await this.events(), this.ledger);
  }

  events(): Promise<RecordedEvent[]> {
    return this.#withLog((log) => collect(log.readAll()));
  }

  async kill(): Promise<void> {
    const core = this.#core;
    this.#core = undefined;
    if (core === undefined) return;
    this.totals.kills += 1;
    await core.kill();
  }

  async #start(): Promise<Sheratan> {
    const startedAt = performance.now();
    this.#core = new Sheratan(['serve'], this.#folder, this.#env);
    await this.#core.listening();
    this.#startMs = performance.now() - startedAt;
    return this.#core;
  }

  async #killWhileStarting(): Promise<void> {
    this.#core = new Sheratan(['serve'], this.#folder, this.#env);
    await delay(this.#startMs * (0.3 + this.#random.next() * 0.7));
    this.totals.duringStart += 1;
    await this.kill();
  }

  async #rebuild(core: Sheratan): Promise<void> {
    await core.ask('mutation { rebuildProjection(name: "missions") { __typename } }').catch(() => undefined);
  }

  /** Replays the log into a shadow, and compares its digest with the read model's. */
  async #replay(digest?: string): Promise<string[]> {
    const { storedDigest, replayedDigest, difference } = await this.#withLog((log) =>
      verify(join(this.#folder, 'core', 'missions.db'), missions, log, this.#folder),
    );
    if (difference !== undefined) return [`the read model differs from a replay: ${JSON.stringify(difference)}`];
    const agreed = storedDigest === replayedDigest && (digest ?? storedDigest) === storedDigest;
    return agreed ? [] : [`digests differ: ${storedDigest}, ${replayedDigest}, ${digest ?? ''}`];
  }

  #withLog<R>(use: (log: EventLog) => Promise<R>): Promise<R> {
    return withLogOf(this.#folder, this.#env, use);
  }
}

function big(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
