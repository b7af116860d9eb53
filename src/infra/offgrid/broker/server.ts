import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fastify, { LogController, type FastifyInstance } from 'fastify';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { MAX_BODY_BYTES, MAX_ID_LENGTH } from './bodies.js';
import { handleBrokerErrors, refuseBrokerUrl } from './errors.js';
import { serveBrokerMetrics } from './metrics.js';
import { DEFAULT_POLICIES, type QuorumPolicies } from './quorum.js';
import { serveBroker } from './routes.js';
import { SignatureVerifier } from './signature.js';
import { BrokerStore } from './store.js';
import { unixSeconds } from './time.js';

/** The version `/status` tells, that of the package. */
const VERSION = '0.1.0';
/** How long a request may take to arrive, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The most TCP connections. */
const MAX_CONNECTIONS = 1_000;
/** How long requests are given to end when the broker stops, in milliseconds, and how long their torn connections. */
const GOODBYE_MS = 1_000;
const TORN_MS = 500;
/** The longest part of a path, in characters: an id, each character of it as four bytes in percent encoding. */
const MAX_PARAM_LENGTH = MAX_ID_LENGTH * 12;

export interface BrokerOptions {
  readonly dataDir: string;
  /** The folder below `dataDir` that is this broker's. */
  readonly name: string;
  readonly bind: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** What whoever posts signs with. */
  readonly authKey: string;
  /** Every node counts 1, unless told. */
  readonly policy?: QuorumPolicies | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A broker that listens. */
export interface Broker {
  /** Where it listens: `http://host:port`. */
  readonly url: string;
  /** Stops accepting, finishes what is in flight, closes its file. What takes too long is cut off. */
  close(): Promise<void>;
}

/**
 * Starts a broker: who keeps what, and which hosts there are. It advises; whatever it says, the core believes only what
 * hosts have signed. @throws StoreError, SqliteError, or the system's error when it cannot listen
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { dataDir, name, bind, port, authKey, policy = DEFAULT_POLICIES, clock, logger } = options;
  const store = await BrokerStore.open(join(dataDir, name), unixSeconds(clock.now()));
  const app: FastifyInstance = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: refuseBrokerUrl,
    forceCloseConnections: 'idle',
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  handleBrokerErrors(app);
  serveBrokerMetrics(app, store, clock);
  serveBroker(app, {
    store,
    policies: policy,
    verifier: new SignatureVerifier(authKey, clock),
    clock,
    version: VERSION,
  });

  let closing: Promise<void> | undefined;
  try {
    const url = await app.listen({ host: bind, port });
    return { url, close: () => (closing ??= close()) };
  } catch (error) {
    await close();
    throw error;
  }

  async function close(): Promise<void> {
    const closed = app.close();
    await atMost(GOODBYE_MS, closed);
    app.server.closeAllConnections();
    await atMost(TORN_MS, closed);
    await store.close();
  }
}

/** Waits for something, but only so long. */
async function atMost(ms: number, something: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  const timeout = delay(ms, undefined, { signal: waiting.signal }).catch(() => undefined);
  await Promise.race([something, timeout]).finally(() => waiting.abort());
}
