import type { RecordedEvent, ReplicatedEvent } from '../../src/domain/event.js';
import type { KeyRotated } from '../../src/domain/keyring.js';
import type { WantedPolicy } from '../../src/domain/policy.js';
import type { ReplicationFact } from '../../src/domain/replication.js';
import type { Logger } from '../../src/infra/platform/logger.js';
import { Nudge } from '../../src/infra/platform/nudge.js';
import type { HostClient } from '../../src/infra/offgrid/protocol/host-client.js';
import type { Outbox, ReplicationState } from '../../src/infra/offgrid/replication/replication-state.js';
import type { HaltReason, WriterRecord } from '../../src/domain/writer.js';
import { Replicator } from '../../src/infra/offgrid/replication/replicator.js';
import type { Journal } from '../../src/infra/offgrid/replication/ports.js';
import type { Random } from '../support/random.js';
import { ORIGIN, ROOT } from './bodies.js';
import { isWithout } from './controls.js';
import { MemoryFrontiers } from './memory-frontiers.js';
import { MemoryOutbox } from './memory-outbox.js';
import type { SimLog } from './sim-log.js';
import { pause, VirtualTime, type Life, type VirtualClock } from './virtual-time.js';

/** An event of a mission, as commands create it. */
interface MissionCreated {
  readonly type: 'MissionCreated';
  readonly data: { readonly missionId: string; readonly title: string };
}
export type AnyFact = ReplicationFact | KeyRotated | MissionCreated;

/** What cores are given by their world. */
export interface CoreDependencies {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly clientOf: (core: SimCore, url: string, life: Life, signal: AbortSignal) => HostClient;
  /** Called with every event that a core appends. */
  readonly onRecorded: (core: SimCore, event: RecordedEvent) => void;
  readonly onHalted: (core: SimCore, reason: HaltReason) => void;
  /** Called when a core has died in the middle of a write. */
  readonly onDeath: (core: SimCore) => void;
  readonly onCrash: (core: SimCore, error: unknown) => void;
  readonly logger: Logger;
  readonly faults: {
    /** How often the journal fails. */
    journal: number;
    /** How often the outbox does not catch up with the log. */
    late: number;
    /** How often a core dies just before something is written, or just after. */
    death: number;
    /** How slow the disk and the projection are. */
    maxDelayMs: number;
  };
}

/** What is in a core's folder, beside its configuration. */
export interface CoreFolder {
  readonly log: SimLog;
  readonly writer: WriterRecord | undefined;
  /** Frontiers of this log, or of one that continued differently. */
  readonly frontiers?: MemoryFrontiers;
}

/** A process that continues under the epoch and the name of another, like a virtual machine that was resumed twice. */
interface Resumed {
  readonly epoch: number;
  readonly writerBytes: Uint8Array;
}

/** A core on its machine: the log and the writer's record exist even when the process does not. */
export class SimCore {
  readonly name: string;
  readonly log: SimLog;
  wanted: WantedPolicy;
  readonly dishonestWeight: number;
  writer: WriterRecord | undefined;
  halted: HaltReason | undefined;
  readonly #ground: CoreDependencies;
  readonly #skewMs: number;
  readonly #frontiers: MemoryFrontiers;
  #outbox = new MemoryOutbox();
  #folded = 0;
  #committed = new Nudge();
  #life: { isOver: boolean } | undefined;
  #leaveLog: () => void = () => undefined;
  #replicator: Replicator | undefined;
  #writerBytes: Uint8Array | undefined;
  #resumed: Resumed | undefined;

  constructor(
    name: string,
    { log, writer, frontiers = new MemoryFrontiers() }: CoreFolder,
    { wanted, dishonestWeight, skewMs }: Pick<SimCore, 'wanted' | 'dishonestWeight'> & { readonly skewMs: number },
    ground: CoreDependencies,
  ) {
    this.name = name;
    this.log = log;
    this.writer = writer;
    this.#frontiers = frontiers;
    this.wanted = wanted;
    this.dishonestWeight = dishonestWeight;
    this.#skewMs = skewMs;
    this.#ground = ground;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** Whether it takes commands. */
  get isWorking(): boolean {
    return this.isUp && this.halted === undefined;
  }

  get replicator(): Replicator | undefined {
    return this.#replicator;
  }

  /** What it knows of its log. */
  get state(): ReplicationState {
    return this.#outbox.state();
  }

  /** What is in its folder now. @param count how many events of the log; by default all */
  folder(count?: number): CoreFolder {
    return { log: this.log.copy(count), writer: this.writer, frontiers: this.#frontiers.copy() };
  }

  /**
   * Makes the next process take the epoch and the name of another, running one. Returns whether that one has an epoch.
   */
  resumeAs(other: SimCore): boolean {
    const epoch = other.#replicator?.writer.epoch ?? 0;
    if (epoch === 0 || other.#writerBytes === undefined || other.halted !== undefined) return false;
    this.#resumed = { epoch, writerBytes: other.#writerBytes };
    return true;
  }

  /** Begins another process on the same machine. */
  start(): void {
    if (this.isUp) return;
    const life = { isOver: false };
    this.#life = life;
    this.#committed = new Nudge();
    this.#leaveLog = this.log.follow(() => {
      this.#foldSoon(life);
    });
    // The state of the log must be completely known before anything is concluded from it.
    this.#foldAll();
    const { clock, random, clientOf, onHalted, onCrash, logger } = this.#ground;
    this.halted = this.writer?.logId === this.log.logId ? this.writer.stopped : undefined;
    const resumed = this.#resumed;
    if (resumed !== undefined && this.writer !== undefined) this.writer = { ...this.writer, epoch: resumed.epoch - 1 };
    Replicator.start({
      ...{ origin: ORIGIN, root: ROOT, logId: this.log.logId, wanted: this.wanted, logger },
      dishonestWeight: this.dishonestWeight,
      outbox: this.#outboxFor(life),
      journal: this.#journalFor(life),
      store: {
        load: () => Promise.resolve(this.writer),
        save: async (record) => {
          await this.#survive(life);
          this.writer = record;
          await this.#survive(life);
        },
      },
      frontiers: this.#frontiers,
      time: new VirtualTime(clock, random, life, this.#skewMs),
      randomBytes: (length) => {
        const bytes = Uint8Array.from({ length }, () => random.between(0, 255));
        if (length === KEY_BYTES) return bytes;
        this.#writerBytes = this.#resumed?.writerBytes ?? bytes;
        this.#resumed = undefined;
        return this.#writerBytes;
      },
      clientOf: (url, _host, signal) => clientOf(this, url, life, signal),
      onHalted: (reason) => {
        if (life.isOver) return;
        this.halted = reason;
        if (reason !== undefined) onHalted(this, reason);
      },
    }).then(
      (replicator) => {
        if (!life.isOver) this.#replicator = replicator;
      },
      (error: unknown) => {
        if (!life.isOver) onCrash(this, error);
      },
    );
  }

  /** Ends immediately: nothing that was begun continues, but what has been sent is still in transit. */
  kill(): void {
    if (isWithout('epochOfProcess')) this.resumeAs(this);
    if (this.#life !== undefined) this.#life.isOver = true;
    this.#life = undefined;
    this.#replicator = undefined;
    this.#leaveLog();
  }

  /** Begins a line with its log, as an operator does. */
  async beginLine(): Promise<void> {
    const life = this.#life;
    await this.#replicator?.beginLine();
    if (life?.isOver === false) this.halted = undefined;
  }

  /** Appends from outside: commands, and what operators do. */
  append(fact: AnyFact): void {
    const { clock, onRecorded } = this.#ground;
    this.log.record(fact, ORIGIN, new Date(clock.now + this.#skewMs).toISOString());
    onRecorded(this, this.log.events.at(-1)!);
  }

  #foldAll(): void {
    const { events } = this.log;
    while (this.#folded < events.length) {
      this.#outbox.fold(events[this.#folded]!);
      this.#folded += 1;
    }
    this.#committed.notify();
  }

  #foldSoon(life: Life): void {
    const { clock, random, faults } = this.#ground;
    clock.after(random.between(0, faults.maxDelayMs), () => {
      if (!life.isOver) this.#foldAll();
    });
  }

  #outboxFor(life: Life): Outbox {
    const { random, faults } = this.#ground;
    const committed = this.#committed;
    return {
      known: async () => {
        await this.#delay(life);
        return this.#known();
      },
      changed: (signal) => committed.wait(signal),
      catchUp: async () => {
        await this.#delay(life);
        if (random.chance(faults.late)) return false;
        this.#foldAll();
        return true;
      },
      events: async (after, limit) => {
        await this.#delay(life);
        return this.#numbered(after, limit);
      },
    };
  }

  /** A process that is resumed does not know, until it has its epoch again, what was recorded under it. */
  #known(): ReplicationState {
    const state = this.#outbox.state();
    if (this.#resumed === undefined) return state;
    const before = this.#resumed.epoch - 1;
    const { elected, quorumEpoch } = state;
    return {
      ...state,
      quorumEpoch: Math.min(quorumEpoch, before),
      elected: elected && { ...elected, epoch: Math.min(elected.epoch, before) },
    };
  }

  #journalFor(life: Life): Journal {
    const { random, faults } = this.#ground;
    return {
      record: async (facts) => {
        for (const fact of facts) {
          await this.#survive(life);
          if (random.chance(faults.journal)) throw new Error('the disk is full');
          this.append(fact);
          const wanted = this.log.events.length;
          await this.#survive(life);
          while (this.#folded < wanted) await this.#delay(life, 1 + faults.maxDelayMs);
          if (random.chance(faults.journal)) throw new Error('it is unknown whether this was recorded');
        }
      },
    };
  }

  async #delay(life: Life, leastMs = 0): Promise<void> {
    const { clock, random, faults } = this.#ground;
    await pause(clock, leastMs + random.between(0, faults.maxDelayMs), life);
  }

  /** A write takes its time; the core may die before it ends. */
  async #survive(life: Life): Promise<void> {
    const { random, faults, onDeath } = this.#ground;
    if (!life.isOver && random.chance(faults.death)) {
      this.kill();
      onDeath(this);
    }
    await this.#delay(life);
  }

  #numbered(after: number, limit: number): ReplicatedEvent[] {
    const known = this.#outbox.entries(after, limit);
    return known.map(({ id, position }) => ({ sequence: id, event: this.log.at(position) }));
  }
}

/** Length of a key, in bytes; names of writers have fewer. */
const KEY_BYTES = 32;
