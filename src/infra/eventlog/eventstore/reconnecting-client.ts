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
/** How long a call is retried, and how long an outage lasts before calls fail without retries, in milliseconds. */
const PATIENCE_MS = 10_000;
/** The first wait before a retry, in milliseconds; it doubles with each failure. */
const FIRST_WAIT_MS = 50;
/** The longest wait before a retry, in milliseconds. */
const LONGEST_WAIT_MS = 2_000;
/** The shortest time between two new connections, in milliseconds. */
const RENEWAL_MS = 50;
/** The client's default keep-alive timeout, in milliseconds. */
const KEEP_ALIVE_TIMEOUT_MS = 10_000;

/** Connections made by this process. */
let made = 0;

/** How long to wait after a number of failures in a row, in milliseconds: one half is fixed, the other random. */
function waitAfter(failures: number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return longest / 2 + (Math.random() * longest) / 2;
}

/** Counts failures in a row, and measures how long they have lasted. */
export class Tries {
  /** Whether to retry without a limit. */
  readonly isEndless: boolean;
  #failures = 0;
  #since: number | undefined;

  constructor(isEndless = false) {
    this.isEndless = isEndless;
  }

  /** Whether the failures have lasted longer than a call is retried. */
  get isOver(): boolean {
    return !this.isEndless && this.#since !== undefined && performance.now() - this.#since > PATIENCE_MS;
  }

  /** Resets the count. */
  succeeded(): void {
    this.#failures = 0;
    this.#since = undefined;
  }

  /** Counts a failure. @returns how many failures in a row came before it */
  failed(): number {
    this.#since ??= performance.now();
    this.#failures += 1;
    return this.#failures - 1;
  }
}

/**
 * The connection to a server: one client at a time, replaced when it gets stuck, and whether the server answers. The client
 * reconnects automatically after some failures but not after others; here every such failure leads to a new connection.
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
    if (this.#downSince === undefined) return;
    const seconds = ((performance.now() - this.#downSince) / 1_000).toFixed(1);
    this.#downSince = undefined;
    this.#logger.info(`${this.address.shown} answers again, after ${seconds} s`);
  }

  /** Notes that a call on a client has failed, and reconnects if needed. @throws LogError when a retry does not help */
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

  /** Makes a call, and retries it when the server does not answer. @throws LogError */
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

  /** Waits for the next try after a failure on a client. @throws LogError when a retry does not help, or the time is over */
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

  /** Waits before the next try, or until the client is closed. */
  async rest(failures: number): Promise<void> {
    await delay(waitAfter(failures), undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    void this.#connection.end();
  }

  /**
   * Each connection has its own keep-alive timeout, different by a millisecond: gRPC shares connections among clients with
   * equal settings, and with them the long waits between the attempts of a connection that failed.
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

/** Resolves or rejects as `work` does. @throws NoAnswer when that takes longer than `ms` */
export function answered<R>(work: Promise<R>, ms = ANSWER_MS): Promise<R> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer(ms)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
