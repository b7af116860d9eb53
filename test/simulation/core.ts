import { ETYPES, isEventType, type Fact, type RecordedEvent } from '../../src/domain/event.js';
import type { JsonObject } from '../../src/domain/json.js';
import { keyringStream, type KeyRotated } from '../../src/domain/keyring.js';
import type { WantedPolicy } from '../../src/domain/policy.js';
import { replicationStream, type ReplicationFact } from '../../src/domain/replication.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { Nudge } from '../../src/infra/nudge.js';
import type { HostPort } from '../../src/infra/offgrid/replicator/host-port.js';
import type { Backlog, Journal, NumberedEvent, Stop, WriterRecord } from '../../src/infra/offgrid/replicator/ports.js';
import { newKey } from '../../src/infra/offgrid/replicator/first-key.js';
import { Replicator } from '../../src/infra/offgrid/replicator/replicator.js';
import { Sealer } from '../../src/infra/offgrid/replicator/sealer.js';
import type { Logger } from '../../src/infra/logger.js';
import type { Random } from '../support/random.js';
import { MemoryOutbox } from './memory-outbox.js';
import { pause, VirtualTime, type Life, type VirtualClock } from './virtual-time.js';

/** What a core appends. */
export type AnyFact = ReplicationFact | KeyRotated | Fact;

/** What a core lives in. */
export interface CoreGround {
  readonly origin: string;
  readonly root: RootKey;
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly portOf: (url: string, core: string, life: Life) => HostPort;
  /** Is told of every event that is folded. */
  readonly onFolded: (core: SimCore, event: RecordedEvent) => void;
  readonly onStopped: (core: SimCore, stop: Stop) => void;
  readonly logger: Logger;
  /** How often the journal fails, and how slow the disk and the projection are. */
  readonly faults: { journal: number; maxDelayMs: number };
}

/** The machine of a core: its log, its outbox and its writer's record are there when the core is not. */
export class SimCore {
  readonly name: string;
  readonly events: RecordedEvent[] = [];
  outbox = new MemoryOutbox();
  wanted: WantedPolicy;
  writer: WriterRecord | undefined;
  stopped: Stop | undefined;
  /** How often it was started. */
  lives = 0;
  readonly #ground: CoreGround;
  readonly #skewMs: number;
  readonly #revisions = new Map<string, bigint>();
  #folded = 0;
  #sealed: Uint8Array[] = [];
  #committed = new Nudge();
  #life: { isOver: boolean } | undefined;
  #replicator: Replicator | undefined;

  constructor(name: string, wanted: WantedPolicy, ground: CoreGround, skewMs: number) {
    this.name = name;
    this.wanted = wanted;
    this.#ground = ground;
    this.#skewMs = skewMs;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  get replicator(): Replicator | undefined {
    return this.#replicator;
  }

  /** Begins another life on the same machine. */
  start(): void {
    if (this.isUp) return;
    const life = { isOver: false };
    this.#life = life;
    this.lives += 1;
    this.#committed = new Nudge();
    // What the log says must be known whole before anything is concluded from it.
    this.#foldAll();
    const { origin, root, clock, random, portOf, onStopped, logger } = this.#ground;
    const started = Replicator.start({
      origin,
      root,
      logId: this.name,
      wanted: this.wanted,
      backlog: this.#backlogFor(life),
      journal: this.#journalFor(life),
      writer: {
        load: () => Promise.resolve(this.writer),
        save: async (record) => {
          await this.#delay(life);
          this.writer = record;
          await this.#delay(life);
        },
      },
      frontiers: { below: () => Promise.resolve(undefined), put: () => Promise.resolve() },
      time: new VirtualTime(clock, random, life, this.#skewMs),
      randomBytes: (length) => Uint8Array.from({ length }, () => random.between(0, 255)),
      portOf: (url) => portOf(url, this.name, life),
      logger,
      onAcknowledged: () => undefined,
      onStopped: (stop) => {
        if (life.isOver) return;
        this.stopped = stop;
        onStopped(this, stop);
      },
    });
    void started.then((replicator) => {
      if (!life.isOver) this.#replicator = replicator;
    });
  }

  /** Ends at once: nothing that was begun goes on, but what has been sent is on its way. */
  kill(): void {
    if (this.#life !== undefined) this.#life.isOver = true;
    this.#life = undefined;
    this.#replicator = undefined;
  }

  /** Appends from outside: commands, and what operators do. */
  append(fact: AnyFact): void {
    this.#put(fact);
    this.#foldSoon(this.#life);
  }

  /** Takes over an event as another log had it. */
  adopt(event: Omit<RecordedEvent, 'position' | 'recordedAt'>): void {
    const position = BigInt(10 * (this.events.length + 1));
    this.events.push({ ...event, position, recordedAt: event.metadata.at });
    this.#revisions.set(event.stream, event.revision);
  }

  rotateKey(): void {
    const { origin, root, random } = this.#ground;
    const epoch = Math.max(0, ...this.outbox.known().keys.map(({ keyEpoch }) => keyEpoch)) + 1;
    this.append(
      newKey(
        root,
        origin,
        epoch,
        Uint8Array.from({ length: 32 }, () => random.between(0, 255)),
      ),
    );
  }

  /** An older copy of the machine's files is put back. */
  rollBack(events: number, writer: WriterRecord | undefined): void {
    this.kill();
    this.events.length = events;
    this.#revisions.clear();
    for (const { stream, revision } of this.events) this.#revisions.set(stream, revision);
    this.#folded = events;
    this.outbox = this.replayed();
    this.#sealed = [];
    this.writer = writer;
  }

  /** The outbox folded afresh, as far as it goes. */
  replayed(): MemoryOutbox {
    const outbox = new MemoryOutbox();
    for (const event of this.events.slice(0, this.#folded)) outbox.fold(event);
    return outbox;
  }

  /** The addresses of its first travelling events. */
  addresses(count: number): readonly Uint8Array[] {
    const { root, origin } = this.#ground;
    if (this.#sealed.length < count) {
      const sealer = new Sealer(root, origin);
      const { keys } = this.outbox.known();
      const more = this.#numbered(this.#sealed.length, count - this.#sealed.length);
      this.#sealed.push(...more.map((event) => sealer.seal(event, keys).eid));
    }
    return this.#sealed.slice(0, count);
  }

  #put({ type, data }: AnyFact): RecordedEvent {
    const { clock, origin, random } = this.#ground;
    if (!isEventType(type)) throw new Error(`there is no ${type}`);
    const stream = streamOf({ type, data: data as JsonObject }, origin);
    const revision = (this.#revisions.get(stream) ?? -1n) + 1n;
    this.#revisions.set(stream, revision);
    const at = new Date(clock.now + this.#skewMs).toISOString();
    const digits = Array.from({ length: 3 }, () => random.between(0, 0xffff).toString(16).padStart(4, '0')).join('');
    const event: RecordedEvent = {
      id: `00000000-0000-4000-8000-${digits}`,
      stream,
      revision,
      position: BigInt(10 * (this.events.length + 1)),
      type,
      etype: ETYPES[type],
      data: data as JsonObject,
      metadata: { at, actor: 'simulation', correlationId: 'c', causationId: 'c', schemaVersion: 1 },
      recordedAt: at,
    };
    this.events.push(event);
    return event;
  }

  #foldAll(): void {
    while (this.#folded < this.events.length) {
      const event = this.events[this.#folded]!;
      this.outbox.fold(event);
      this.#folded += 1;
      this.#ground.onFolded(this, event);
    }
    this.#committed.notify();
  }

  #foldSoon(life: Life | undefined): void {
    const { clock, random, faults } = this.#ground;
    clock.after(random.between(0, faults.maxDelayMs), () => {
      if (life !== undefined && !life.isOver) this.#foldAll();
    });
  }

  #backlogFor(life: Life): Backlog {
    const committed = this.#committed;
    return {
      known: async () => {
        await this.#delay(life);
        const known = this.outbox.known();
        await this.#delay(life);
        return known;
      },
      changed: (signal) => committed.wait(signal),
      events: async (after, limit) => {
        await this.#delay(life);
        return this.#numbered(after, limit);
      },
    };
  }

  #journalFor(life: Life): Journal {
    const { random, faults } = this.#ground;
    return {
      record: async (facts) => {
        for (const fact of facts) {
          await this.#delay(life);
          if (random.chance(faults.journal)) throw new Error('the disk is full');
          this.#put(fact);
          const wanted = this.events.length;
          this.#foldSoon(life);
          while (this.#folded < wanted) await this.#delay(life, 1);
          if (random.chance(faults.journal)) throw new Error('nobody knows whether this was recorded');
        }
      },
    };
  }

  async #delay(life: Life, leastMs = 0): Promise<void> {
    const { clock, random, faults } = this.#ground;
    await pause(clock, leastMs + random.between(0, faults.maxDelayMs), life);
  }

  #numbered(after: number, limit: number): NumberedEvent[] {
    return this.outbox.entries(after, limit).map(({ id, position }) => ({
      sequence: id,
      event: this.events[Number(position) / 10 - 1]!,
    }));
  }
}

function streamOf({ type, data }: Fact, origin: string): string {
  if (type === 'KeyRotated') return keyringStream(origin);
  if (type === 'MissionCreated' && typeof data['missionId'] === 'string') return `mission-${data['missionId']}`;
  return replicationStream(origin);
}
