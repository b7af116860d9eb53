import { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import { HostFailure } from '../../src/infra/offgrid/protocol/host-client.js';
import { decodeRefusal } from '../../src/infra/offgrid/protocol/refusal.js';
import type { Random } from '../support/random.js';
import type { Request, SimHost } from './host.js';
import type { Life, VirtualClock } from './virtual-time.js';

/** How long to wait for an answer, in milliseconds. */
const TIMEOUT_MS = 10_000;
/** How long an overtaken request may be in transit, in milliseconds. */
const LATE_MS = 30_000;
/** Requests that are kept to be sent again. */
const MAX_KEPT = 200;

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

/** The process that asks. */
export interface Asker {
  readonly name: string;
  readonly life: Life;
  /** Requests are aborted when one of these aborts. */
  readonly signals: readonly (AbortSignal | undefined)[];
}

/** A request that a host has received, or may have. */
interface Sent {
  readonly host: SimHost;
  readonly request: Request;
}

/** The links to the hosts: they delay, lose, repeat and reorder, and may be cut. */
export class Network {
  readonly weather: Weather;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  /** The time until which links are cut. */
  readonly #cutUntil = new Map<string, number>();
  readonly #sent: Sent[] = [];
  /** Called with every answer that arrives. */
  readonly #trace: (line: () => string) => void;

  constructor(weather: Weather, clock: VirtualClock, random: Random, trace: (line: () => string) => void) {
    this.weather = weather;
    this.#clock = clock;
    this.#random = random;
    this.#trace = trace;
  }

  /** Nothing passes between the two for a while. */
  cut(name: string, host: SimHost, ms: number): void {
    const way = `${name} ${host.url}`;
    this.#cutUntil.set(way, Math.max(this.#cutUntil.get(way) ?? 0, this.#clock.now + ms));
  }

  /** From now on everything arrives once, and soon. */
  calm(): void {
    this.#cutUntil.clear();
    Object.assign(this.weather, { loss: 0, duplication: 0, lateness: 0, busy: 0, maxDelayMs: 20 } satisfies Weather);
  }

  /** Sends a claim or batch again. @param isForwarded whether a batch may go to another host */
  replay(hosts: readonly SimHost[], isForwarded: boolean): void {
    const candidates = isForwarded ? this.#sent.filter(({ request }) => request.is === 'ship') : this.#sent;
    if (candidates.length === 0) return;
    const { host, request } = this.#random.pick(candidates);
    const to = isForwarded ? this.#random.pick(hosts) : host;
    if (!to.isUp) return;
    this.#trace(() => `${request.is} arrives again at ${to.url}`);
    to.serve(request).catch(() => undefined);
  }

  /** @throws HostFailure */
  ask(host: SimHost, asker: Asker, request: Request): Promise<Uint8Array> {
    if (request.is === 'claim' || request.is === 'ship') this.#keep({ host, request });
    return this.#send(host, asker, request.is, () => host.serve(request));
  }

  /** Asks a host for its identity. @throws HostFailure */
  meet(host: SimHost, asker: Asker): Promise<Uint8Array> {
    return this.#send(host, asker, 'keys', () => Promise.resolve(host.identity.verifyKey));
  }

  #send(host: SimHost, asker: Asker, what: string, serve: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const { weather } = this;
    const { life } = asker;
    const random = this.#random;
    if (life.isOver) return new Promise(() => undefined);
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (outcome: Uint8Array | Error) => {
        if (isSettled || life.isOver) return;
        isSettled = true;
        timeOut();
        for (const signal of asker.signals) signal?.removeEventListener('abort', giveUp);
        this.#trace(() => `${asker.name} ${host.url} ${what} ${outcomeOf(outcome)}`);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const timeOut = this.#clock.after(TIMEOUT_MS, () => {
        settle(new HostFailure('TIMEOUT', 'no answer'));
      });
      const giveUp = () => {
        settle(new HostFailure('UNREACHABLE', 'the request was cancelled'));
      };
      for (const signal of asker.signals) signal?.addEventListener('abort', giveUp);
      if (asker.signals.some((signal) => signal?.aborted)) {
        giveUp();
        return;
      }
      const answered = (outcome: Uint8Array | Error) => {
        if (random.chance(weather.loss)) return;
        this.#clock.after(this.#delayMs(), () => {
          if (!this.#isCut(asker, host)) settle(outcome);
        });
      };
      const arrive = () => {
        if (this.#isCut(asker, host)) return;
        if (!host.isUp) {
          settle(new HostFailure('UNREACHABLE', 'the host is down'));
          return;
        }
        if (random.chance(weather.busy)) {
          const message = 'too busy';
          const refusal = { code: 'BUSY', message, wait: random.between(0, 2) } as const;
          settle(new HostFailure('BUSY', message, { refusal }));
          return;
        }
        serve().then(answered, (error: unknown) => {
          answered(failureOf(error));
        });
      };
      const copies = random.chance(weather.duplication) ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        if (!random.chance(weather.loss))
          this.#clock.after(this.#delayMs() + copy * random.between(0, LATE_MS), arrive);
      }
    });
  }

  #keep(sent: Sent): void {
    if (this.#sent.length < MAX_KEPT) this.#sent.push(sent);
    else this.#sent[this.#random.between(0, MAX_KEPT - 1)] = sent;
  }

  #delayMs(): number {
    const isLate = this.#random.chance(this.weather.lateness);
    return this.#random.between(0, isLate ? LATE_MS : this.weather.maxDelayMs);
  }

  #isCut({ name }: Asker, host: SimHost): boolean {
    return (this.#cutUntil.get(`${name} ${host.url}`) ?? 0) > this.#clock.now;
  }
}

/**
 * The error of a client for a refusal of the host. Any other error is a fault of the host, and is passed on as it is.
 */
function failureOf(error: unknown): Error {
  if (!(error instanceof RefusalError)) return error instanceof Error ? error : new Error(String(error));
  const refusal = decodeRefusal(error.body);
  return new HostFailure(refusal.code, refusal.message, { refusal });
}

function outcomeOf(outcome: Uint8Array | Error): string {
  if (!(outcome instanceof Error)) return `OK ${outcome.byteLength}`;
  return outcome instanceof HostFailure ? `${outcome.code} ${outcome.message}` : String(outcome);
}
