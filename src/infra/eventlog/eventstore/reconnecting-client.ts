import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventStoreDBClient } from '@eventstore/db-client';
import type { Logger } from '../../platform/logger.js';
import { LogError } from '../errors.js';
import type { ServerAddress } from './address.js';
import { Connection } from './connection.js';
import { NoAnswer, reasonOf, remedyFor, toLogError } from './failures.js';
import type { SendBuffer } from './send-buffer.js';

/** How long the server may take to answer, in milliseconds. */
export const ANSWER_MS = 5_000;
/** How long a call is tried, and how long an outage is waited out by those who ask, in milliseconds. */
const PATIENCE_MS = 10_000;
/** The first and the longest wait before something is tried again, in milliseconds; it doubles between. */
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;
/** Connections are made anew at most this often, in milliseconds. */
const RENEWAL_MS = 50;
/** What the client takes for its keep-alive timeout unless told, in milliseconds. */
const KEEP_ALIVE_TIMEOUT_MS = 10_000;

/** Connections made by this process. */
let made = 0;

/** How long to wait before trying again after so many failures in a row, in milliseconds: the same half, and chance. */
function waitAfter(failures: number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return longest / 2 + (Math.random() * longest) / 2;
}

/** How often something has failed in a row, and since when. */
export class Tries {
  /** Whether it is tried for ever, however long the server does not answer. */
  readonly isEndless: boolean;
  #failures = 0;
  #since: number | undefined;

  constructor(isEndless = false) {
    this.isEndless = isEndless;
  }

  get isOver(): boolean {
    return !this.isEndless && this.#since !== undefined && performance.now() - this.#since > PATIENCE_MS;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#since = undefined;
  }

  /** @returns how often it had failed before */
  failed(): number {
    this.#since ??= performance.now();
    this.#failures += 1;
    return this.#failures - 1;
  }
}

/**
 * The way to a server: a client at a time, made anew when it gets stuck, and whether the server answers. The client
 * reconnects by itself after some failures and not after others; here every failure ends in a connection that is new.
 */
export class ReconnectingClient {
  readonly address: ServerAddress;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  #connection: Connection;
  #madeAt = 0;
  #way = 0;
  #downSince: number | undefined;

  constructor(address: ServerAddress, logger: Logger) {
    this.address = address;
    this.#logger = logger;
    this.#connection = this.#connect();
    // Everyone who waits for the server listens.
    setMaxListeners(0, this.#closing.signal);
  }

  get client(): EventStoreDBClient {
    return this.#connection.client;
  }

  /** Another number whenever calls may go another way than those before: on another connection, or to another node. */
  get way(): number {
    return this.#way;
  }

  /** What the client holds of appends. */
  get buffer(): SendBuffer {
    return this.#connection.buffer;
  }

  /** ends with the client. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Whether the server has not answered for longer than anyone should wait for it. */
  get isLost(): boolean {
    return this.#downSince !== undefined && performance.now() - this.#downSince > PATIENCE_MS;
  }

  /** The server has answered. */
  succeeded(): void {
    if (this.#downSince === undefined) return;
    const seconds = ((performance.now() - this.#downSince) / 1_000).toFixed(1);
    this.#downSince = undefined;
    this.#logger.info(`${this.address.shown} answers again, after ${seconds} s`);
  }

  /** A call on a client has failed. @throws LogError when asking again is of no use */
  failed(client: EventStoreDBClient, error: unknown): void {
    const remedy = remedyFor(error);
    if (remedy === 'none') throw toLogError(error, this.address.shown);
    if (remedy === 'ask-again') return;
    this.#way += 1;
    if (remedy === 'follow') return;
    if (this.#downSince === undefined) {
      this.#downSince = performance.now();
      this.#logger.warn(`${this.address.shown} does not answer; trying again (${reasonOf(error)})`);
    }
    if (client !== this.client || performance.now() - this.#madeAt < RENEWAL_MS) return;
    void this.#connection.end();
    this.#connection = this.#connect();
  }

  /** Asks the server, again when it does not answer. @throws LogError */
  async call<R>(work: (client: EventStoreDBClient) => Promise<R>): Promise<R> {
    const tries = new Tries();
    for (;;) {
      this.assertOpen();
      const { client } = this;
      try {
        const result = await answered(work(client));
        this.succeeded();
        return result;
      } catch (error) {
        await this.retry(client, error, tries);
      }
    }
  }

  /** Rests after a failure on a client, for another try. @throws LogError when that is of no use, or enough were made */
  async retry(client: EventStoreDBClient, error: unknown, tries: Tries): Promise<void> {
    this.assertOpen();
    this.failed(client, error);
    const failures = tries.failed();
    if (tries.isOver || (this.isLost && !tries.isEndless)) throw toLogError(error, this.address.shown);
    await this.rest(failures);
  }

  /** @throws LogError LOG_CLOSED */
  assertOpen(): void {
    if (this.#closing.signal.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
  }

  /** Rests before the next try, or until the client is closed. */
  async rest(failures: number): Promise<void> {
    await delay(waitAfter(failures), undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    void this.#connection.end();
  }

  /**
   * Each connection has a keep-alive timeout of its own, by a millisecond: gRPC shares connections among clients of the same
   * settings, and with them the long waits between attempts of one that could not connect.
   */
  #connect(): Connection {
    made += 1;
    this.#madeAt = performance.now();
    const { clientUrl } = this.address;
    const given = /keepAliveTimeout=(-?\d+)/.exec(clientUrl)?.[1];
    const timeout = Number(given ?? KEEP_ALIVE_TIMEOUT_MS);
    const distinct = timeout < 0 ? timeout : timeout + (made % 1_000);
    const url = `${clientUrl}&keepAliveTimeout=${distinct}&throwOnAppendFailure=true`;
    return new Connection(url, () => (this.#way += 1));
  }
}

/** Fails when something takes longer than a server may. */
export function answered<R>(work: Promise<R>, ms = ANSWER_MS): Promise<R> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer(ms)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
