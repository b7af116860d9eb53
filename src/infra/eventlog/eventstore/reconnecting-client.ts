import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { BACKWARDS, END, type EventStoreDBClient } from '@eventstore/db-client';
import { secondsSince } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { reasonOf } from '../../platform/reason.js';
import { LogError } from '../errors.js';
import type { ServerAddress } from './address.js';
import { Connection } from './connection.js';
import { Dialer } from './dialer.js';
import { isAnswer, isDenied, NoAnswer, remedyFor, toLogError } from './failures.js';
import { readableChunks } from './readable-chunks.js';
import type { SendBuffer } from './send-buffer.js';

/** How long the server may take to answer, in milliseconds. */
export const ANSWER_MS = 5_000;
/** The shortest time that the server is given to answer, in milliseconds. */
const LEAST_ANSWER_MS = 100;
/** How long a call is tried, and how long an outage lasts before calls fail without a try, in milliseconds. */
const PATIENCE_MS = 10_000;
/**
 * How long a server may refuse access before it has answered once, in milliseconds: a new cluster refuses every user between its
 * first election and the creation of its users.
 */
const BIRTH_MS = 10_000;
/** The first wait before a retry, in milliseconds; it doubles with each failure. */
const FIRST_WAIT_MS = 50;
/** The longest wait before a retry, in milliseconds. */
const LONGEST_WAIT_MS = 2_000;
/** The shortest time between two new connections, in milliseconds. */
const RENEWAL_MS = 50;

/** How long to wait after a number of failures in a row, in milliseconds: one half is fixed, the other random. */
function waitAfter(failures: number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return longest / 2 + (Math.random() * longest) / 2;
}

/** Counts failures in a row, and measures how long a call has had no success. */
export class Tries {
  /** Whether to retry without a limit. */
  readonly isEndless: boolean;
  #failures = 0;
  #since: number | undefined;
  #cause: unknown;

  constructor(isEndless = false) {
    this.isEndless = isEndless;
  }

  /** Whether a call has had no success for longer than it is retried. */
  get isOver(): boolean {
    return !this.isEndless && this.#left <= 0;
  }

  /** Starts a try. @returns how long the server may take to answer it, in milliseconds */
  start(): number {
    this.#since ??= performance.now();
    return this.isEndless ? ANSWER_MS : Math.min(ANSWER_MS, Math.max(LEAST_ANSWER_MS, this.#left));
  }

  /** Why it failed: the last error, but an earlier one if the last try was cut short. */
  get cause(): unknown {
    return this.#cause;
  }

  /** Resets the count. */
  succeeded(): void {
    this.#failures = 0;
    this.#since = undefined;
    this.#cause = undefined;
  }

  /** Counts a failure. @returns how many failures in a row came before it */
  failed(error: unknown): number {
    this.#since ??= performance.now();
    if (!(error instanceof NoAnswer) || this.#cause === undefined) this.#cause = error;
    this.#failures += 1;
    return this.#failures - 1;
  }

  /** The time that is left, in milliseconds. */
  get #left(): number {
    return PATIENCE_MS - (performance.now() - (this.#since ?? performance.now()));
  }
}

/**
 * The connection to a server: one client at a time, replaced when it gets stuck, and whether the server answers. The client
 * reconnects automatically after some failures but not after others; here every such failure leads to a new connection.
 */
export class ReconnectingClient {
  readonly address: ServerAddress;
  readonly #logger: Logger;
  readonly #dialer: Dialer;
  readonly #closing = new AbortController();
  #connection: Connection;
  #madeAt = 0;
  /** When it was first refused access; undefined before, and null once it had access. */
  #refusedSince: number | undefined | null;
  #way = 0;
  /** When the first try was started that no answer followed. */
  #triedSince: number | undefined;
  #downSince: number | undefined;
  #lastFailure: unknown;
  /** When it was first refused access after it had had access. */
  #deniedSince: number | undefined;

  constructor(address: ServerAddress, logger: Logger) {
    this.address = address;
    this.#logger = logger;
    this.#dialer = new Dialer(address.tls);
    this.#connection = this.#connect();
    // Every pending call listens to this signal.
    setMaxListeners(0, this.#closing.signal);
  }

  get client(): EventStoreDBClient {
    return this.#connection.client;
  }

  /** A number that changes whenever calls may take another route than before: another connection, or another node. */
  get way(): number {
    return this.#way;
  }

  /** The append messages that the client has not yet sent. */
  get buffer(): SendBuffer {
    return this.#connection.buffer;
  }

  /** Aborts when this client is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Whether an outage has lasted longer than a call should wait. */
  get isLost(): boolean {
    return this.#downSince !== undefined && performance.now() - this.#downSince > PATIENCE_MS;
  }

  /** Notes that the server has answered. */
  succeeded(): void {
    this.#refusedSince = null;
    this.#heard();
    if (this.#deniedSince === undefined) return;
    this.#logger.info(`${this.address.shown} grants access again, after ${secondsSince(this.#deniedSince)} s`);
    this.#deniedSince = undefined;
  }

  /** Logs the first of several refusals, unless none was granted before: then whoever opens the log ends with it. */
  #refused({ message }: LogError): void {
    if (this.#refusedSince !== null || this.#deniedSince !== undefined) return;
    this.#deniedSince = performance.now();
    this.#logger.error(message);
  }

  /** Notes that the server has answered with an error. */
  heard(error: unknown): void {
    if (isDenied(error)) this.#heard();
    else this.succeeded();
  }

  #heard(): void {
    this.#triedSince = undefined;
    if (this.#downSince === undefined) return;
    this.#logger.info(`${this.address.shown} answers again, after ${secondsSince(this.#downSince)} s`);
    this.#downSince = undefined;
  }

  /** Notes that a call on a client has failed, and reconnects if needed. @throws LogError when a retry does not help */
  failed(client: EventStoreDBClient, error: unknown): void {
    const remedy = remedyFor(error);
    if (isAnswer(error)) this.#heard();
    if (remedy === 'none') {
      if (isDenied(error) && this.#mayBeNew(error)) return;
      const refusal = toLogError(error, this.address);
      if (refusal.code === 'LOG_DENIED') this.#refused(refusal);
      throw refusal;
    }
    if (remedy === 'ask-again') return;
    this.#way += 1;
    if (remedy === 'follow') return;
    if (this.#downSince === undefined) {
      this.#downSince = this.#triedSince ?? performance.now();
      this.#logger.warn(`${this.address.shown} does not answer; trying again (${reasonOf(error)})`);
      void this.#awaitAnswer();
    }
    this.#lastFailure = error;
    if (client !== this.client || performance.now() - this.#madeAt < RENEWAL_MS) return;
    void this.#connection.end();
    this.#connection = this.#connect();
  }

  /** Whether the server may refuse access only because its cluster is new. */
  #mayBeNew(error: unknown): boolean {
    if (this.#refusedSince === undefined) {
      this.#refusedSince = performance.now();
      const seconds = BIRTH_MS / 1_000;
      this.#logger.warn(
        `${this.address.shown} refuses access, as a new cluster does for a moment; trying for ${seconds} s (${reasonOf(error)})`,
      );
    }
    return this.#refusedSince !== null && performance.now() - this.#refusedSince < BIRTH_MS;
  }

  /** Asks the server again and again until it answers: calls do not, once an outage has lasted long. */
  async #awaitAnswer(): Promise<void> {
    for (let failures = 0; this.#downSince !== undefined && !this.#closing.signal.aborted; failures += 1) {
      await this.rest(failures);
      const { client } = this;
      const read = client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1, requiresLeader: true });
      try {
        for await (const _ of readableChunks(read, {
          signal: this.#closing.signal,
          answerMs: ANSWER_MS,
          isPatient: () => false,
          cancel: () => read.cancel(),
        }));
        if (client === this.client) this.succeeded();
      } catch (error) {
        this.#lastFailure = error;
        try {
          this.failed(client, error);
        } catch {
          // It refuses to answer. The cause may be corrected there.
        }
      }
    }
  }

  /** Makes a call, and retries it when the server does not answer. @throws LogError */
  async call<R>(work: (client: EventStoreDBClient) => Promise<R>): Promise<R> {
    const tries = new Tries();
    for (;;) {
      const answerMs = this.start(tries);
      const { client } = this;
      try {
        const result = await answered(work(client), answerMs);
        this.succeeded();
        return result;
      } catch (error) {
        await this.retry(client, error, tries);
      }
    }
  }

  /**
   * Starts a try of a call.
   * @returns how long the server may take to answer it, in milliseconds
   * @throws LogError LOG_CLOSED, or the reason of an outage that has lasted longer than a call should wait
   */
  start(tries: Tries): number {
    this.assertReady();
    this.#triedSince ??= performance.now();
    return tries.start();
  }

  /** Waits for the next try after a failure on a client. @throws LogError when a retry does not help, or the time is over */
  async retry(client: EventStoreDBClient, error: unknown, tries: Tries): Promise<void> {
    this.assertOpen();
    this.failed(client, error);
    const failures = tries.failed(error);
    if (tries.isOver || (this.isLost && !tries.isEndless)) throw toLogError(tries.cause, this.address);
    await this.rest(failures);
  }

  /** @throws LogError LOG_CLOSED, or the reason of an outage that has lasted longer than a call should wait */
  assertReady(): void {
    this.assertOpen();
    if (this.isLost) throw toLogError(this.#lastFailure, this.address);
  }

  /** @throws LogError LOG_CLOSED */
  assertOpen(): void {
    if (this.#closing.signal.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
  }

  /** Waits before the next try, or until the client is closed. */
  async rest(failures: number): Promise<void> {
    await delay(waitAfter(failures), undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    void this.#connection.end();
  }

  #connect(): Connection {
    this.#madeAt = performance.now();
    return new Connection(this.address, this.#dialer, () => (this.#way += 1));
  }
}

/** Resolves or rejects as `work` does. @throws NoAnswer when that takes longer than `ms` */
export function answered<R>(work: Promise<R>, ms = ANSWER_MS): Promise<R> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer(ms)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
