import { createHash } from 'node:crypto';
import { pino } from 'pino';
import type { WantedPolicy } from '../../src/domain/policy.js';
import { meetsEveryQuorum, weightOf, type HostState } from '../../src/domain/replication.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import type { WriterRecord } from '../../src/infra/offgrid/replicator/ports.js';
import { Random } from '../support/random.js';
import { SimCore, type CoreGround } from './core.js';
import { type SimHost } from './host.js';
import { check, Invariants, OPERATOR, Violation } from './invariants.js';
import { Network } from './network.js';
import { restore } from './restore.js';
import { newHosts, soundPolicy, weatherOf } from './scenery.js';
import { pause, VirtualClock } from './virtual-time.js';

const NO_QUORUM = { line: 1, hosts: [], quorumSequence: 0, quorumEpoch: 0 };

const ORIGIN = 'core-v2';
const ROOT = new RootKey(Buffer.alloc(32, 77));
/** Within this everything must have come right once nothing fails any more, in milliseconds. */
const CONVERGENCE_MS = 900_000;
/** Within this a core that is told to stop has stopped: its requests take so long at most, in milliseconds. */
const STOP_MS = 60_000;
/** Injected failures of the log; the replicator may complain of these, and of nothing else. */
const EXPECTED = /the disk is full|nobody knows whether|is suspended|takes no more commands/;

/** ONE log; a RESTORED one beside it; or one that was put back to what it had been. */
type Story = 'ONE' | 'RESTORED' | 'ROLLED_BACK';

/**
 * COME_TO_REST is how it should end. STOPPED is right for a log that was put back. STUCK is a quorum that was lost: a host
 * that lies, or is gone, is needed by a policy that must still be met.
 */
type Ending = 'COME_TO_REST' | 'STOPPED' | 'STUCK';

/** What became of a seed. */
export interface Outcome {
  readonly failure: string | undefined;
  readonly trace: readonly string[];
  readonly story: Story;
  readonly ending: Ending;
  /** Events that a quorum has. */
  readonly events: number;
}

/** The trace in short: the same for the same seed. */
export function digestOf({ trace }: Outcome): string {
  return createHash('sha256').update(trace.join('\n')).digest('hex');
}

/** Lives through one seed. */
export async function simulate(seed: number): Promise<Outcome> {
  const world = new World(seed);
  const failure = await world.live().then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof Error) return error instanceof Violation ? error.message : String(error.stack);
      throw error;
    },
  );
  return world.outcome(failure);
}

class World {
  readonly #random: Random;
  readonly #clock: VirtualClock;
  readonly #network: Network;
  readonly #hosts: readonly SimHost[];
  readonly #invariants: Invariants;
  readonly #trace: string[] = [];
  readonly #story: Story;
  readonly #ground: CoreGround;
  readonly #core: SimCore;
  readonly #appends: number;
  #restored: SimCore | undefined;
  #isRestoring = false;
  #copy: { readonly events: number; readonly writer: WriterRecord | undefined } | undefined;
  #retired: SimHost | undefined;
  #wanted: WantedPolicy;
  #appended = 0;
  #isCalm = false;
  #failure: Error | undefined;
  #ending: Ending = 'COME_TO_REST';
  /** Those who have said their last. */
  readonly #last = new Set<SimCore>();

  constructor(seed: number) {
    const random = new Random(seed);
    this.#random = random;
    this.#clock = new VirtualClock(random);
    const roll = random.next();
    this.#story = roll < 0.6 ? 'ONE' : roll < 0.85 ? 'RESTORED' : 'ROLLED_BACK';
    this.#network = new Network(weatherOf(random), this.#clock, random, (line) => this.#note(line));
    this.#hosts = newHosts(random, ORIGIN, this.#clock);
    this.#invariants = new Invariants(this.#hosts);
    this.#wanted = this.#newPolicy(random.chance(0.7) ? this.#hosts : this.#hosts.slice(0, -1));
    this.#appends = random.between(5, 40);
    this.#ground = {
      origin: ORIGIN,
      root: ROOT,
      clock: this.#clock,
      random,
      portOf: (url, core, life) => {
        const host = this.#hosts.find((one) => one.url === url);
        if (host === undefined) throw new Error(`nobody is at ${url}`);
        return this.#network.portTo(host, core, life);
      },
      onFolded: (core, event) => {
        this.#note(`${this.#clock.now} ${core.name} ${event.type} ${briefly(event.data)}`);
        this.#guard(() => this.#invariants.afterFold(core, event));
      },
      onStopped: (core, { code, message }) => {
        this.#note(`${this.#clock.now} ${core.name} ${code} ${message}`);
        const mayStop = core === this.#core && this.#story !== 'ONE' && (this.#isRestoring || this.#copy !== undefined);
        this.#guard(() => check(mayStop, `${core.name} has stopped: ${code}: ${message}`));
      },
      logger: pino({ level: 'error', base: null, timestamp: false }, { write: (line) => this.#complain(line) }),
      faults: { journal: random.chance(0.3) ? 0.05 : 0, maxDelayMs: random.pick([1, 5, 50]) },
    };
    for (const host of this.#hosts)
      host.onRefused = ({ code, message }) => {
        const isFork = code === 'FORKED' && this.#story !== 'ROLLED_BACK';
        this.#guard(() => check(!isFork, `${host.url}: ${message}`));
      };
    this.#core = new SimCore('old', this.#wanted, this.#ground, random.between(-3_600_000, 3_600_000));
  }

  outcome(failure: string | undefined): Outcome {
    const events = this.#invariants.committed;
    return { failure, trace: this.#trace, story: this.#story, ending: this.#ending, events };
  }

  async live(): Promise<void> {
    this.#core.start();
    const chaosMs = this.#random.between(20_000, 120_000);
    this.#actSoon();
    await this.#run(chaosMs);
    this.#calmDown();
    await this.#run(CONVERGENCE_MS, () => this.#hasConverged());
    const survivor = this.#restored ?? this.#core;
    if (!this.#canGoOn(survivor)) {
      this.#ending = 'STUCK';
      return;
    }
    if (this.#story === 'RESTORED') check(this.#restored !== undefined, 'the restore never ended');
    if (this.#restored !== undefined) check(this.#core.stopped !== undefined, 'the older core goes on');
    if (survivor.stopped !== undefined) {
      this.#ending = 'STOPPED';
      return;
    }
    check(this.#hasConverged(), `it does not come to rest: ${this.#describe(survivor)}`);
    this.#invariants.atRest(survivor, survivor === this.#core ? [] : [this.#core], this.#story !== 'ONE');
  }

  async #run(ms: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#clock.run(ms, () => this.#failure !== undefined || isOver());
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What goes wrong within a callback ends the run. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  #note(line: string): void {
    this.#trace.push(line);
  }

  #complain(line: string): void {
    if (!EXPECTED.test(line)) this.#failure ??= new Violation(`the replicator complains: ${line}`);
  }

  #newPolicy(hosts: readonly SimHost[]): WantedPolicy {
    const mayBeLow = this.#story !== 'ROLLED_BACK';
    return soundPolicy(
      this.#random,
      hosts,
      this.#hosts.filter((host) => this.#isSound(host)),
      mayBeLow,
    );
  }

  /** Whether a host does what it says, and is not gone for good. */
  #isSound(host: SimHost): boolean {
    return host.isHonest && host !== this.#retired;
  }

  get #survivor(): SimCore {
    return this.#restored ?? this.#core;
  }

  #actSoon(): void {
    this.#clock.after(this.#random.between(20, 4_000), () => {
      if (this.#isCalm) return;
      this.#guard(() => this.#act());
      this.#actSoon();
    });
  }

  #act(): void {
    const random = this.#random;
    const core = this.#restored !== undefined && random.chance(0.6) ? this.#restored : this.#core;
    const host = random.pick(this.#hosts);
    const roll = random.between(1, 100);
    if (roll <= 45) this.#append(core, random.between(1, 4));
    else if (roll <= 52) this.#restart(core);
    else if (roll <= 55) this.#stop(core);
    else if (roll <= 65) this.#stopHost(host);
    else if (roll <= 75) {
      this.#note(`${this.#clock.now} cut ${core.name} ${host.url}`);
      this.#network.cut(core.name, host);
      this.#clock.after(random.between(500, 20_000), () => this.#network.mend(core.name, host));
    } else if (roll <= 80) {
      host.disk.faults.isFull = true;
      this.#clock.after(random.between(500, 10_000), () => (host.disk.faults.isFull = false));
    } else if (roll <= 83) {
      if (core.isUp && core.stopped === undefined) core.rotateKey();
    } else if (roll <= 88) this.#changePolicy(core);
    else if (roll <= 91) this.#suspend(core, host);
    else if (roll <= 93) this.#retire(core, host);
    else if (roll <= 96) this.#hurry(core);
    else this.#turn();
  }

  #append(core: SimCore, count: number): void {
    for (let i = 0; i < count && core.isUp && core.stopped === undefined && this.#appended < this.#appends; i += 1) {
      this.#appended += 1;
      const title = 'x'.repeat(this.#random.between(0, 600));
      core.append({ type: 'MissionCreated', data: { missionId: `m${this.#appended}`, title } });
    }
  }

  #restart(core: SimCore): void {
    this.#note(`${this.#clock.now} ${core.name} dies`);
    core.kill();
    if (this.#story === 'ONE' && this.#random.chance(0.15)) core.writer = undefined;
    this.#clock.after(this.#random.between(0, 6_000), () => core.start());
  }

  /** Ends a core as an operator does; it must come to its end, whatever it is waiting for. */
  #stop(core: SimCore): void {
    const stopping = core.replicator?.stop();
    if (stopping === undefined) return;
    this.#note(`${this.#clock.now} ${core.name} is to stop`);
    let hasEnded = false;
    void stopping.then(() => {
      hasEnded = true;
      this.#note(`${this.#clock.now} ${core.name} has stopped`);
      if (core.isUp) this.#restart(core);
    });
    const lives = core.lives;
    this.#clock.after(STOP_MS, () => {
      this.#guard(() => check(hasEnded || core.lives !== lives, `${core.name} does not stop`));
    });
  }

  #stopHost(host: SimHost): void {
    this.#note(`${this.#clock.now} ${host.url} dies`);
    host.kill();
    this.#clock.after(this.#random.between(100, 15_000), () => {
      if (host !== this.#retired) host.start(ORIGIN);
    });
  }

  #hurry(core: SimCore): void {
    core.replicator?.retry(this.#random.pick(this.#hosts).identity.id);
    const done = core.replicator?.hurry();
    if (done !== undefined) this.#clock.after(this.#random.between(100, 10_000), done);
  }

  /** An operator changes the configuration; the core is started again with it. */
  #changePolicy(core: SimCore): void {
    if (core !== this.#survivor || this.#isRestoring !== (this.#restored !== undefined)) return;
    const some = this.#hosts.filter(() => this.#random.chance(0.8));
    this.#wanted = this.#newPolicy(some.length < 2 ? this.#hosts : some);
    core.wanted = this.#wanted;
    this.#note(`${this.#clock.now} wanted ${JSON.stringify(this.#wanted)}`);
    this.#restart(core);
  }

  #setState(core: SimCore, host: SimHost, state: HostState): void {
    const sequence = core.outbox.hosts.find((row) => row.host === host.identity.id)?.sequence ?? 0;
    core.append({
      type: 'HostStateChanged',
      data: { origin: ORIGIN, host: host.identity.id, state, sequence, why: OPERATOR },
    });
  }

  #suspend(core: SimCore, host: SimHost): void {
    const row = core.outbox.hosts.find((known) => known.host === host.identity.id);
    if (!core.isUp || core.stopped !== undefined || row?.state !== 'ACTIVE') return;
    this.#setState(core, host, 'SUSPENDED');
  }

  /** A host goes for good when the others have what a quorum has signed, and can go on without it. */
  #retire(core: SimCore, host: SimHost): void {
    const { policies, quorum, hosts } = core.outbox.known();
    const isUsual = core === this.#core && core.isUp && this.#story === 'ONE' && this.#retired === undefined;
    if (!isUsual || policies.length === 0) return;
    const others = this.#hosts.filter((one) => one !== host && one.isHonest).map(({ identity }) => identity.id);
    const mayGo = policies.every(({ policy }) => {
      const named = policy.hosts.filter((one) => others.includes(one.host));
      const total = policy.hosts.reduce((sum, { weight }) => sum + weight, 0);
      const weight = named.reduce((sum, one) => sum + one.weight, 0);
      const having = named.filter((one) => (hosts.get(one.host)?.sequence ?? 0) >= quorum);
      const kept = having.reduce((sum, one) => sum + one.weight, 0);
      return kept >= policy.required && weight > total - policy.required;
    });
    if (!mayGo) return;
    this.#retired = host;
    this.#setState(core, host, 'RETIRED');
    this.#wanted = this.#newPolicy(this.#hosts);
    core.wanted = this.#wanted;
    this.#stopHost(host);
    this.#restart(core);
  }

  /** What the story is about. */
  #turn(): void {
    if (this.#story === 'RESTORED') this.#restoreOnce();
    if (this.#story !== 'ROLLED_BACK') return;
    const { events, writer } = this.#core;
    if (this.#copy === undefined) {
      if (writer !== undefined && events.length > 3) this.#copy = { events: events.length, writer };
    } else if (this.#core.isUp && this.#core.stopped === undefined && events.length > this.#copy.events) {
      this.#note(`${this.#clock.now} rolled back to ${this.#copy.events}`);
      this.#core.rollBack(this.#copy.events, this.#copy.writer);
      this.#core.start();
      this.#copy = { events: Infinity, writer };
    }
  }

  /** Nobody restores before there is something to restore. */
  #restoreOnce(): void {
    if (!this.#isRestoring && this.#invariants.committed > 0) this.#restore();
  }

  #restore(): void {
    this.#note(`${this.#clock.now} a restore begins`);
    this.#isRestoring = true;
    const life = { isOver: false };
    const hosts = this.#hosts.map((host) => ({ host, port: this.#network.portTo(host, 'new', life) }));
    const wait = () => pause(this.#clock, 1_000, life);
    restore({ origin: ORIGIN, root: ROOT, logId: 'new', hosts, wait }).then(
      ({ epoch, writer, events, policy }) => {
        this.#note(`${this.#clock.now} restored ${events.length} events, epoch ${epoch}`);
        const core = new SimCore('new', this.#wanted, this.#ground, 0);
        for (const event of events) core.adopt(event);
        core.append({
          type: 'ReplicasAcknowledged',
          data: { origin: ORIGIN, policyVersion: policy.version, writerEpoch: epoch, ...NO_QUORUM },
        });
        core.writer = { epoch, writer, isElected: true };
        this.#restored = core;
        core.start();
      },
      (error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      },
    );
  }

  /** Nothing fails from here on, and operators set right what they had set aside; liars go on lying. */
  #calmDown(): void {
    this.#note(`${this.#clock.now} calm`);
    this.#isCalm = true;
    this.#network.calm();
    this.#ground.faults.journal = 0;
    for (const host of this.#hosts) {
      Object.assign(host.disk.faults, { isFull: false, failure: 0, maxDelayMs: 5 });
      if (host !== this.#retired) host.start(ORIGIN);
    }
    this.#core.start();
    this.#restored?.start();
    this.#operate();
  }

  /** What operators do, again and again, until it has come to something. */
  #operate(): void {
    this.#clock.after(2_000, () => {
      if (this.#story === 'RESTORED') this.#restoreOnce();
      // Who has nothing to say does not learn that nobody listens, or that the hosts know more.
      for (const core of [this.#core, this.#restored]) {
        if (core === undefined || core.stopped !== undefined || this.#last.has(core)) continue;
        core.start();
        core.append({ type: 'MissionCreated', data: { missionId: 'last', title: '' } });
        if (core === this.#restored || this.#story !== 'RESTORED' || this.#restored !== undefined) this.#last.add(core);
      }
      for (const core of [this.#core, this.#restored]) if (core !== undefined) this.#reinstate(core);
      this.#operate();
    });
  }

  /** What operators had suspended they take back; what was caught lying stays suspended. */
  #reinstate(core: SimCore): void {
    if (!core.isUp || core.stopped !== undefined) return;
    for (const { host: id, state, why } of core.outbox.hosts) {
      const host = this.#hosts.find(({ identity }) => identity.id === id);
      if (state === 'SUSPENDED' && why === OPERATOR && host !== undefined) this.#setState(core, host, 'ACTIVE');
    }
  }

  #hasConverged(): boolean {
    if (this.#story === 'RESTORED' && (this.#restored === undefined || this.#core.stopped === undefined)) return false;
    const core = this.#survivor;
    if (core.stopped !== undefined) return true;
    if (!this.#last.has(core)) return false;
    const { progress, hosts } = core.outbox;
    const newest = core.outbox.known().policies.at(-1)?.policy;
    if (progress === undefined || newest === undefined || !this.#isAsWanted(newest.hosts)) return false;
    if (progress.policy !== newest.version || progress.quorum !== progress.head) return false;
    return newest.hosts.every(({ host: id }) => {
      const host = this.#hosts.find(({ identity }) => identity.id === id);
      const row = hosts.find((known) => known.host === id);
      if (host?.isHonest !== true) return true;
      // What it has, too: a log that was put back still says of it what was so then.
      return row?.state === 'ACTIVE' && row.sequence === progress.head && host.disk.events.length === progress.head;
    });
  }

  /** Whether the honest hosts can do everything alone under every policy that must be met. */
  #canGoOn(core: SimCore): boolean {
    return core.outbox.known().policies.every(({ policy }) => {
      const sound = this.#hosts.filter((host) => this.#isSound(host));
      const some = new Set(sound.map(({ identity }) => identity.id));
      return weightOf(policy, some) >= policy.required && meetsEveryQuorum(policy, some);
    });
  }

  #isAsWanted(hosts: readonly { readonly url: string }[]): boolean {
    const wanted = this.#wanted.hosts.map(({ url }) => url).filter((url) => url !== this.#retired?.url);
    return isDeepSame(
      hosts.map(({ url }) => url),
      wanted,
    );
  }

  #describe(core: SimCore): string {
    const { progress, hosts } = core.outbox;
    const rows = hosts.map(({ url, state, sequence }) => {
      const contact = core.replicator?.contactOf(hosts.find((row) => row.url === url)?.host ?? '');
      return `${url} ${state} ${sequence} ${contact?.lastError ?? ''}`;
    });
    const { head, quorum, policy } = progress ?? {};
    const policies = core.outbox.known().policies.map((one) => `${one.policy.version}@${one.sequence}`);
    return JSON.stringify({ old: this.#core.stopped?.code, head, quorum, policy, policies, rows });
  }
}

function isDeepSame(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());
}

/** Data as the trace has it: without what is random beyond the seed. */
function briefly(data: object): string {
  const { state, sequence, why, policyVersion, quorumSequence, version, hosts, keyEpoch } = data as Readonly<
    Record<string, unknown>
  >;
  const reached = Array.isArray(hosts)
    ? hosts.map((host: { host: string; sequence?: number }) => `${host.host.slice(0, 4)}:${host.sequence ?? ''}`)
    : undefined;
  return JSON.stringify({ state, sequence, why, policyVersion, quorumSequence, version, reached, keyEpoch });
}
