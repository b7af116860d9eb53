import { HostRefusal } from '../../src/infra/offgrid/host/problems.js';
import {
  HostError,
  type HostKey,
  type HostPort,
  type ReturnedEvent,
} from '../../src/infra/offgrid/replicator/host-port.js';
import type { Claim } from '../../src/infra/offgrid/wire/claim.js';
import type { Random } from '../support/random.js';
import type { Doors, SimHost } from './host.js';
import type { Life, VirtualClock } from './virtual-time.js';
import type { SignedHead } from '../../src/infra/offgrid/wire/head.js';

/** How long a core waits for an answer, in milliseconds. */
const TIMEOUT_MS = 10_000;
/** How long an overtaken request may be on its way, in milliseconds. */
const LATE_MS = 30_000;

/** What the network does to requests and answers; chances from 0 to 1. */
export interface Weather {
  loss: number;
  duplication: number;
  /** How often something is very late. */
  lateness: number;
  maxDelayMs: number;
  /** How often a host is too busy. */
  busy: number;
}

/** The ways between cores and hosts: they delay, lose, repeat and reorder, and may be cut. */
export class Network {
  readonly weather: Weather;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #cut = new Set<string>();
  /** Is told of every answer that a core gets. */
  readonly #trace: (line: string) => void;

  constructor(weather: Weather, clock: VirtualClock, random: Random, trace: (line: string) => void) {
    this.weather = weather;
    this.#clock = clock;
    this.#random = random;
    this.#trace = trace;
  }

  cut(core: string, host: SimHost): void {
    this.#cut.add(`${core} ${host.url}`);
  }

  mend(core: string, host: SimHost): void {
    this.#cut.delete(`${core} ${host.url}`);
  }

  /** From now on everything arrives once, and soon. */
  calm(): void {
    this.#cut.clear();
    Object.assign(this.weather, { loss: 0, duplication: 0, lateness: 0, busy: 0, maxDelayMs: 20 } satisfies Weather);
  }

  /** A host as one life of a core reaches it. What it has sent arrives though it dies; the answers then do not. */
  portTo(host: SimHost, core: string, life: Life): HostPort {
    const ask = <A>(what: string, work: (doors: Doors) => Promise<A>) => this.#ask(host, core, life, what, work);
    return {
      url: host.url,
      key: (): Promise<HostKey> =>
        ask('key', async () => ({ host: host.identity.id, verifyKey: host.identity.verifyKey })),
      claim: (_origin: string, claim: Claim): Promise<SignedHead> => ask('claim', (doors) => doors.claim(claim)),
      ship: (_origin: string, batch: Uint8Array): Promise<SignedHead> => ask('ship', (doors) => doors.ship(batch)),
      head: () => Promise.reject(new Error('nobody asks for this')),
      rootAt: (_origin: string, sequence: number): Promise<string> => ask('root', (doors) => doors.rootAt(sequence)),
      events: (_origin: string, after: number, limit: number): Promise<readonly ReturnedEvent[]> =>
        ask('events', (doors) => doors.events(after, limit)),
    };
  }

  #ask<A>(host: SimHost, core: string, life: Life, what: string, work: (doors: Doors) => Promise<A>): Promise<A> {
    const { weather } = this;
    const random = this.#random;
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (outcome: { readonly answer: A } | { readonly error: Error }) => {
        if (isSettled || life.isOver) return;
        isSettled = true;
        timeOut();
        this.#trace(`${this.#clock.now} ${core} ${host.url} ${what} ${outcomeOf(outcome)}`);
        if ('answer' in outcome) resolve(outcome.answer);
        else reject(outcome.error);
      };
      const timeOut = this.#clock.after(TIMEOUT_MS, () => settle({ error: new HostError('TIMEOUT', 'no answer') }));
      const unreachable = () => settle({ error: new HostError('UNREACHABLE', 'the host is down') });
      const arrive = () => {
        if (this.#isCut(core, host)) return;
        if (!host.isUp) {
          unreachable();
          return;
        }
        if (random.chance(weather.busy)) {
          settle({ error: new HostError('BUSY', 'too busy', {}, { retryAfterMs: random.between(0, 2_000) }) });
          return;
        }
        host.serve(work).then(
          (answer) => this.#answer(core, host, () => settle({ answer })),
          (error: unknown) => this.#answer(core, host, () => settle({ error: asHostError(error) })),
        );
      };
      const copies = random.chance(weather.duplication) ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        if (!random.chance(weather.loss))
          this.#clock.after(this.#delayMs() + copy * random.between(0, LATE_MS), arrive);
      }
    });
  }

  #answer(core: string, host: SimHost, deliver: () => void): void {
    if (this.#random.chance(this.weather.loss)) return;
    this.#clock.after(this.#delayMs(), () => {
      if (!this.#isCut(core, host)) deliver();
    });
  }

  #delayMs(): number {
    const isLate = this.#random.chance(this.weather.lateness);
    return this.#random.between(0, isLate ? LATE_MS : this.weather.maxDelayMs);
  }

  #isCut(core: string, host: SimHost): boolean {
    return this.#cut.has(`${core} ${host.url}`);
  }
}

function asHostError(error: unknown): Error {
  if (error instanceof HostRefusal) return new HostError(error.code, error.message, error.details);
  return error instanceof Error ? error : new Error(String(error));
}

function outcomeOf(outcome: { readonly answer: unknown } | { readonly error: Error }): string {
  if ('error' in outcome) return outcome.error instanceof HostError ? outcome.error.code : String(outcome.error);
  const { answer } = outcome;
  if (typeof answer !== 'object' || answer === null || !('sequence' in answer) || !('epoch' in answer)) return 'OK';
  return `OK ${String(answer.epoch)}/${String(answer.sequence)}`;
}
