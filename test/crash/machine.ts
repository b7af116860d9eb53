import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RecordedEvent } from '../../src/domain/event.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { verify } from '../../src/infra/projector/verify.js';
import { missions } from '../../src/projections/missions.js';
import type { Projection } from '../../src/projections/projection.js';
import { outbox } from '../../src/projections/outbox.js';
import { Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import { withLogOf } from '../support/log-server.js';
import { Random } from '../support/random.js';
import { Audit } from './audit.js';
import { send, work, type Served } from './client.js';
import { Ledger } from './ledger.js';
import { replicatedOf, type Replicas } from './replicas.js';

/** Clients at a time. */
const CLIENTS = 6;
/**
 * The least and the most time that a core works before it is killed, in milliseconds, if it starts within a second: a core
 * that takes longer to start is on a busy machine, and does no more in a longer life.
 */
const LIFE_MS = [50, 500] as const;
const USUAL_START_MS = 1_000;
/** How often a core is killed while it starts. */
const EARLY_KILLS = 0.12;
/** How often a rebuild is running when it is killed. */
const REBUILDS = 0.3;
/** How long hosts may take to catch up, and how often they are checked meanwhile, in milliseconds. */
const CATCH_UP_MS = 60_000;
const LOOK_MS = 100;

/** A data folder whose core is killed again and again while clients work with it. */
export class Machine {
  readonly ledger = new Ledger();
  readonly totals = { kills: 0, duringStart: 0, duringRebuild: 0, retried: 0 };
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #replicas: Replicas | undefined;
  readonly #random: Random;
  readonly #audit = new Audit();
  #core: Sheratan | undefined;
  #startMs = USUAL_START_MS;
  /** What is being done to the hosts. */
  #disturbance: Promise<string[]> = Promise.resolve([]);

  /**
   * @param env settings of its core, besides the folder
   * @param replicas the hosts that it replicates to, if any; they are killed as well
   */
  constructor(folder: string, seed: number, env: Readonly<Record<string, string>> = {}, replicas?: Replicas) {
    this.#folder = folder;
    this.#env = { ...env, ...replicas?.env };
    this.#replicas = replicas;
    this.#random = new Random(seed);
  }

  /** Starts the core, checks it, lets clients work, and kills it and hosts. Resolves with what is wrong. */
  async round(isThorough: boolean): Promise<string[]> {
    if (this.#random.chance(EARLY_KILLS)) await this.#killWhileStarting();
    const core = await this.#start();
    if ((await core.projection()).state === 'REBUILDING') this.totals.duringRebuild += 1;
    const wrong = [...(await this.audit()), ...(isThorough ? await this.#replay() : [])];
    wrong.push(...(await this.#disturbance));
    this.totals.retried += this.ledger.lost.length;
    const served: Served = { core, replicas: this.#replicas };
    const clients = Array.from({ length: CLIENTS }, (_, i) => {
      const random = new Random(this.#random.between(0, 2 ** 31));
      return work(served, this.ledger, random, `worker-${i}`);
    });
    const lifeMs = this.#random.between(...LIFE_MS) * Math.max(1, this.#startMs / USUAL_START_MS);
    if (this.#random.chance(REBUILDS)) {
      const after = this.#random.between(0, lifeMs);
      clients.push(delay(after).then(() => this.#rebuild(core)));
    }
    this.#disturbance = this.#replicas?.disturb(lifeMs, this.#random) ?? Promise.resolve([]);
    // It is waited for in the next round; it may fail before.
    this.#disturbance.catch(() => undefined);
    await delay(lifeMs);
    await this.kill();
    await Promise.all(clients);
    return wrong;
  }

  /** Starts again, repeats what was not answered and some of what was, and verifies the read model. */
  async settle(): Promise<string[]> {
    const disturbed = [...(await this.#disturbance), ...(await this.#restoreFromEach())];
    const core = await this.#start();
    const served: Served = { core, replicas: this.#replicas };
    const { lost, requests } = this.ledger;
    for (const request of lost.splice(0)) await send(served, this.ledger, request);
    const answered = requests.filter(({ key, answer }) => key !== undefined && answer !== undefined);
    for (const request of answered.filter(({ name }) => name !== 'claimJobs').slice(-200)) {
      const before = request.answer;
      await send(served, this.ledger, request);
      // A refused request may succeed when it is repeated: the reason for the refusal can have changed.
      if (
        before !== undefined &&
        'places' in before &&
        JSON.stringify(request.answer, big) !== JSON.stringify(before, big)
      )
        this.ledger.surprises.push(`${request.name} ${request.key ?? ''} got another answer when it was repeated`);
    }
    const wrong = [
      ...disturbed,
      ...(await this.audit()),
      ...(await this.#checkShownDigest(core)),
      ...(await this.#replay()),
    ];
    const events = await this.events();
    const { missions: shown, jobs } = await core.gql('{ missions { totalCount } jobs { totalCount } }');
    const count = (type: string) => events.filter((event) => event.type === type).length;
    if (shown.totalCount !== count('MissionCreated')) wrong.push('the read model has another number of missions');
    if (jobs.totalCount !== count('JobCreated')) wrong.push('the read model has another number of jobs');
    return this.#replicas === undefined ? wrong : [...wrong, ...(await this.#settleHosts(this.#replicas))];
  }

  /** Restores from each host as the last kill left it. */
  async #restoreFromEach(): Promise<string[]> {
    const replicated = this.ledger.replicated.map(({ position }) => position);
    return (await this.#replicas?.restoreFromEach(await this.events(), replicated)) ?? [];
  }

  /** Lets the hosts catch up, and compares what they have with the log. */
  async #settleHosts(replicas: Replicas): Promise<string[]> {
    const until = performance.now() + CATCH_UP_MS;
    const isComplete = async () => replicas.isComplete(replicatedOf(await this.events()).length);
    for (;;) {
      while (!(await isComplete())) {
        if (performance.now() > until) return [`the hosts do not catch up: ${(await replicas.held()).join(', ')}`];
        await delay(LOOK_MS);
      }
      await this.kill();
      const { code, output } = await Sheratan.run(['verify'], this.#folder, this.#env);
      if (code !== 0) return [`a projection is not what a replay gives: ${output.join('\n')}`];
      const events = await this.events();
      const atHead = `equal at position ${events.at(-1)?.position ?? 0n} `;
      // Leases expire at any time: the last events are projected and shipped when the core runs again.
      if (output.filter((line) => line.includes(atHead)).length === 2 && (await isComplete())) {
        const digest = /^missions: .*\ndigest (\S+)$/m.exec(output.join('\n'))?.[1] ?? '';
        return [...(await this.audit()), ...(await replicas.audit(events, digest))];
      }
      await this.#start();
    }
  }

  /** Compares the log, as another process reads it, with the answers of clients. */
  async audit(): Promise<string[]> {
    return this.#audit.check(await this.events(), this.ledger);
  }

  events(): Promise<RecordedEvent[]> {
    return this.#withLog((log) => collect(log.readAll()));
  }

  /** Ends all of it. */
  async end(): Promise<void> {
    await this.#disturbance.catch(() => undefined);
    await Promise.all([this.kill(), this.#replicas?.kill()]);
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

  /** Replays the log into a shadow of each projection, and compares their digests. */
  async #replay(): Promise<string[]> {
    return [...(await this.#compare(missions)).wrong, ...(await this.#compare(outbox)).wrong];
  }

  /** The digest that a core shows for its missions must be correct. */
  async #checkShownDigest(core: Sheratan): Promise<string[]> {
    for (;;) {
      const { digest, position } = await core.live();
      const found = await this.#compare(missions);
      // Leases expire at any time.
      if (position.endsWith(`:${found.position}`) !== true) continue;
      return found.digest === digest ? found.wrong : [`the core shows digest ${digest}, but it is ${found.digest}`];
    }
  }

  async #compare(projection: Projection) {
    const file = join(this.#folder, 'core', `${projection.name}.db`);
    const { storedDigest, replayedDigest, position, difference } = await this.#withLog((log) =>
      verify(file, projection, log, this.#folder),
    );
    const wrong: string[] = [];
    if (storedDigest !== replayedDigest)
      wrong.push(`${projection.name}: ${storedDigest}, and replayed ${replayedDigest}`);
    if (difference !== undefined) wrong.push(`${projection.name} differs first at ${JSON.stringify(difference)}`);
    return { wrong, digest: storedDigest, position };
  }

  #withLog<R>(use: (log: EventLog) => Promise<R>): Promise<R> {
    return withLogOf(this.#folder, this.#env, use);
  }
}

function big(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
