import { join } from 'node:path';
import { handleErrors, refuseUrl } from '../../http-kit/error-answer.js';
import { closeServer, newServer } from '../../http-kit/server.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { MAX_BODY_BYTES, MAX_ID_LENGTH } from './bodies.js';
import { BROKER_ERRORS } from './errors.js';
import { serveBrokerMetrics } from './metrics.js';
import { DEFAULT_POLICIES, type QuorumPolicies } from './quorum.js';
import { serveBroker } from './routes.js';
import { SignatureVerifier } from './signature.js';
import { BrokerStore } from './store.js';
import { unixSeconds } from './time.js';

/** The version in `/status`, which is that of the package. */
const VERSION = '0.1.0';
/** The time limit for a request to arrive, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The maximum number of TCP connections. */
const MAX_CONNECTIONS = 1_000;
/** How long a stop waits for requests in progress before it cuts their connections, in milliseconds. */
const GOODBYE_MS = 1_000;
/** How long a stop then waits for the cut connections, in milliseconds. */
const TORN_MS = 500;
/** The maximum length of a part of a path, in characters: an id with each character as four percent-encoded bytes. */
const MAX_PARAM_LENGTH = MAX_ID_LENGTH * 12;

/** The configuration of a broker. */
export interface BrokerOptions {
  readonly dataDir: string;
  /** The name of this broker's folder in `dataDir`. */
  readonly name: string;
  readonly bind: string;
  /** 0 for any free port. */
  readonly port: number;
  /** OFFGRID_AUTH_KEY, with which clients sign the bodies of POST requests. */
  readonly authKey: string;
  /** By default every node counts 1. */
  readonly policy?: QuorumPolicies | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A running broker. */
export interface Broker {
  /** The URL on which it listens: `http://host:port`. */
  readonly url: string;
  /** Stops accepting requests, finishes those in progress and closes the file. Requests that take too long are cut off. */
  close(): Promise<void>;
}

/**
 * Starts a broker, which keeps an overview of quorums and hosts. It is advisory: the core relies only on what hosts sign.
 * @throws StoreError, SqliteError, or the system's error when it cannot listen
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { dataDir, name, bind, port, authKey, policy = DEFAULT_POLICIES, clock, logger } = options;
  const store = await BrokerStore.open(join(dataDir, name), unixSeconds(clock.now()));
  const app = newServer(logger, {
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: refuseUrl(BROKER_ERRORS.body),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  handleErrors(app, BROKER_ERRORS);
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
    await closeServer(app, { graceMs: GOODBYE_MS, tornMs: TORN_MS });
    await store.close();
  }
}
