import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { atMost } from '../../platform/at-most.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import { WrongExpectedRevision } from '../errors.js';
import type { Lease } from '../lease.js';
import type { Appender } from './appender.js';
import { bareEvent, type AnyRecord, type EventCodec } from './event-codec.js';
import type { Reader } from './reader.js';

/** How often a lease is checked, in milliseconds. */
const LOOK_MS = 1_000;
/** How often the holder renews the lease, in milliseconds. */
const KEEP_MS = 3_000;
/** How long a holder regards the lease as held, in milliseconds from before it sent the renewal. */
const HOLD_MS = 8_000;
/** How long others must see no renewal before they take it, in milliseconds: longer, because clocks may run apart. */
const VACANT_MS = 10_000;
/** How long to wait for a release, in milliseconds: the lease expires anyway. */
const RELEASE_MS = 1_000;
/** How many events the stream keeps. */
const MAX_EVENTS = 20;

const TAKEN = 'LeaseTaken';
const KEPT = 'LeaseKept';
const RELEASED = 'LeaseReleased';

/** What a lease needs. */
interface LeaseDependencies {
  readonly codec: EventCodec;
  readonly reader: Reader;
  readonly appender: Appender;
  readonly logger: Logger;
}

/**
 * A lease in a stream of its own, `lease-<name>`, which is not part of the log. A core takes the lease by appending at the
 * last revision it has seen: of several that try, the server accepts one. The holder keeps renewing it. The others measure
 * on their own clocks how long they have seen no renewal, so clocks need not agree. They wait longer than the holder trusts
 * its last renewal, counted from before that was sent.
 */
export class EventStoreLease implements Lease {
  readonly #name: string;
  readonly #dependencies: LeaseDependencies;
  readonly #holder = `${hostname()}/${process.pid}/${randomUUID()}`;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #epoch = 0n;
  /** The revision of the last renewal, if this core wrote it. */
  #own: bigint | undefined;
  #until = NEVER;
  #keepAt = 0;
  #seen: { readonly revision: bigint; readonly at: number } | undefined;

  constructor(name: string, dependencies: LeaseDependencies) {
    this.#name = name;
    this.#dependencies = dependencies;
    this.#running = this.#run();
  }

  get isHeld(): boolean {
    // Two clocks: the steady one stops while the machine sleeps, and the wall clock may be set.
    return this.#own !== undefined && performance.now() < this.#until.steady && Date.now() < this.#until.wall;
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    const own = this.#own;
    this.#lose();
    if (own === undefined) return;
    const released = this.#append(RELEASED, own).catch(() => undefined);
    await atMost(RELEASE_MS, released);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const failures = new FailureLog(this.#dependencies.logger, `lease '${this.#name}' cannot be checked`);
    while (!signal.aborted) {
      try {
        await this.#look();
        failures.succeeded();
      } catch (error) {
        // Another has it.
        if (error instanceof WrongExpectedRevision) this.#lose();
        // A held lease remains held until it expires.
        else failures.failed(error);
      }
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    if (this.#own !== undefined && this.isHeld) {
      if (performance.now() >= this.#keepAt) await this.#say(KEPT, this.#own);
      return;
    }
    this.#lose();
    const last = await this.#last();
    if (last === undefined) await this.#limitStream();
    if (last === undefined || last.type === RELEASED) return this.#take(last);
    if ((last.data as { readonly holder?: unknown }).holder === this.#holder) {
      // Its answer arrived too late, but no other core has taken the lease since.
      if (last.type === TAKEN) this.#epoch = last.revision;
      await this.#say(KEPT, last.revision);
      return;
    }
    const now = performance.now();
    if (this.#seen?.revision !== last.revision) this.#seen = { revision: last.revision, at: now };
    else if (now - this.#seen.at >= VACANT_MS) await this.#take(last);
  }

  async #take(last: AnyRecord | undefined): Promise<void> {
    const revision = await this.#say(TAKEN, last?.revision ?? 'no-stream');
    this.#epoch = revision;
    this.#dependencies.logger.info({ lease: this.#name, epoch: revision.toString() }, 'lease taken');
  }

  /** Takes or renews the lease: it is held for HOLD_MS from before the append was sent. */
  async #say(type: string, expected: bigint | 'no-stream'): Promise<bigint> {
    const [steady, wall] = [performance.now(), Date.now()];
    const revision = await this.#append(type, expected);
    this.#own = revision;
    this.#until = { steady: steady + HOLD_MS, wall: wall + HOLD_MS };
    this.#keepAt = steady + KEEP_MS;
    return revision;
  }

  #lose(): void {
    if (this.#own !== undefined && !this.#stopping.signal.aborted) {
      this.#dependencies.logger.warn({ lease: this.#name, epoch: this.#epoch.toString() }, 'lease lost');
    }
    this.#own = undefined;
    this.#until = NEVER;
  }

  async #append(type: string, expected: bigint | 'no-stream'): Promise<bigint> {
    const name = this.#stream;
    const event = bareEvent(type, { holder: this.#holder });
    const { revision } = await this.#dependencies.appender.append({
      stream: name,
      name,
      events: [event],
      expected,
      bytes: 0,
    });
    return revision;
  }

  async #last(): Promise<AnyRecord | undefined> {
    const options = { direction: 'backward', limit: 1 } as const;
    for await (const record of this.#dependencies.reader.stream(this.#stream, options)) return record;
    return undefined;
  }

  /** Limits the stream's length, which would grow forever. If another core was first, nothing remains to do. */
  async #limitStream(): Promise<void> {
    const name = `$$${this.#stream}`;
    const event = bareEvent('$metadata', { $maxCount: MAX_EVENTS });
    const append = { stream: name, name, events: [event], expected: 'no-stream', bytes: 0 } as const;
    await this.#dependencies.appender.append(append).catch((error: unknown) => {
      if (!(error instanceof WrongExpectedRevision)) throw error;
    });
  }

  get #stream(): string {
    return this.#dependencies.codec.streamName(`lease-${this.#name}`);
  }
}

const NEVER = { steady: 0, wall: 0 };
