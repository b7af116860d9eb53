import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fastify, {
  LogController,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { Clock } from '../../clock.js';
import { isLoopback } from '../../http/loopback.js';
import type { Logger } from '../../logger.js';
import { ProcessLock } from '../../process-lock.js';
import { SqliteError } from '../../sqlite/connection.js';
import { MAX_BODY_BYTES } from '../wire/batch.js';
import { Authentication } from './authentication.js';
import { Blobs } from './blobs.js';
import { HostFile } from './host-file.js';
import { openIdentity, type Identity } from './identity.js';
import { Memory } from './memory.js';
import { HostMetrics } from './metrics.js';
import { HostRefusal } from './problems.js';
import { serveMemory } from './memory-routes.js';
import { Replicas } from './replicas.js';
import { bodyOf } from './requests.js';
import { serveReplicas } from './replica-routes.js';
import { SqliteReplicaStore } from './sqlite-replica-store.js';

/** How long a client is asked to wait when a host is busy, in seconds. */
const RETRY_AFTER_SECONDS = 1;
/** How long a request may take to arrive, in milliseconds: links may be slow. */
const REQUEST_TIMEOUT_MS = 300_000;
/** The most TCP connections: each may bring a body before it is known whose it is. */
const MAX_CONNECTIONS = 128;

/** How a host is set up. */
export interface HostOptions {
  /** The folder of this host alone. */
  readonly folder: string;
  readonly name: string;
  readonly bind: string;
  readonly port: number;
  readonly authKey: string;
  /** The most bytes of contents it keeps. */
  readonly budgetBytes: number;
  /** Contents of more bytes are files. */
  readonly chunkThreshold: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A host that runs. */
export interface RunningHost {
  readonly url: string;
  readonly identity: Identity;
  /** Bytes it could still take. */
  readonly freeBytes: number;
  /** Finishes what is in flight and closes its files. */
  close(): Promise<void>;
}

/** Starts a storage host. @throws Error that says why it cannot; what was opened is closed again */
export async function startHost(options: HostOptions): Promise<RunningHost> {
  const { folder, bind, port, budgetBytes, chunkThreshold, clock, logger } = options;
  const opened: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end();
  };
  try {
    await mkdir(join(folder, 'blobs'), { recursive: true });
    const lock = await ProcessLock.take(join(folder, 'host.lock'));
    if (lock === undefined) throw new Error(`Another host runs in ${folder}. Stop it, or choose another --name.`);
    opened.push(() => lock.release());
    const identity = await openIdentity(join(folder, 'identity.pem'));
    const file = await HostFile.open(join(folder, 'host.db'), budgetBytes);
    opened.push(() => file.close());
    const store = await SqliteReplicaStore.open(file, await Blobs.open(join(folder, 'blobs')), chunkThreshold);
    const metrics = new HostMetrics(store, budgetBytes);
    const app = fastify({
      loggerInstance: logger,
      logController: new LogController({ disableRequestLogging: true }),
      bodyLimit: MAX_BODY_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      forceCloseConnections: 'idle',
      frameworkErrors: refuseUrl,
    });
    opened.push(() => app.close());
    app.server.maxConnections = MAX_CONNECTIONS;
    hangUpWhenClosing(app);
    readRawBodies(app);
    answerRefusals(app, metrics);
    const authentication = new Authentication(options.authKey, identity.id, clock);
    const authenticate = (request: FastifyRequest) => {
      const { method, url: path } = request;
      const judged = authentication.judge({ method, path, body: bodyOf(request) }, request.headers);
      if (!judged.isAuthentic) throw new Unauthenticated(judged.message, judged.headers);
    };
    const isLocal = isLoopback(bind);
    const open = (request: FastifyRequest) => {
      if (!isLocal) authenticate(request);
    };
    serveReplicas(app, new Replicas({ store, identity, clock }), authenticate);
    serveMemory(app, { ...options, identity, memory: new Memory(file), authenticate, open });
    app.get('/metrics', async (request, reply) => {
      open(request);
      return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    });
    const url = await app.listen({ host: bind, port });
    return {
      url,
      identity,
      close,
      get freeBytes() {
        return Math.max(0, budgetBytes - store.usedBytes);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A connection whose last request is answered while the host closes would stay open, and the host wait for its end. */
function hangUpWhenClosing(app: FastifyInstance): void {
  let isClosing = false;
  app.addHook('preClose', (done) => {
    isClosing = true;
    done();
  });
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (isClosing) void reply.header('connection', 'close');
    done();
  });
}

/** Bodies are authenticated as they came, and read afterwards. */
function readRawBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body);
  });
}

/** The request is not by one who knows the key. */
class Unauthenticated extends HostRefusal {
  readonly headers: Readonly<Record<string, string>>;

  constructor(message: string, headers: Readonly<Record<string, string>> = {}) {
    super('UNAUTHENTICATED', message);
    this.headers = headers;
  }
}

function answerRefusals(app: FastifyInstance, metrics: HostMetrics): void {
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error);
    if (refusal === undefined) {
      request.log.error({ err: error }, 'request failed');
      metrics.answered('INTERNAL');
      return reply
        .code(500)
        .send({ error: { code: 'INTERNAL', message: 'Something went wrong here; it was logged.' } });
    }
    if (refusal.status >= 500) request.log.warn({ code: refusal.code, url: request.url }, refusal.message);
    metrics.answered(refusal.code);
    if (refusal.code === 'BUSY') void reply.header('retry-after', String(RETRY_AFTER_SECONDS));
    if (refusal instanceof Unauthenticated) void reply.headers(refusal.headers);
    return reply.code(refusal.status).send(refusal.body);
  });
  app.setNotFoundHandler((request) => {
    throw new HostRefusal('NOT_FOUND', `There is nothing at ${request.method} ${request.url.slice(0, 200)}.`);
  });
  app.addHook('onResponse', (_request, reply, done) => {
    if (reply.statusCode < 400) metrics.answered('OK');
    done();
  });
}

/** Answers what Fastify refuses before there is a route: a path that cannot be decoded. */
function refuseUrl(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(400).send(new HostRefusal('BAD_REQUEST', error.message).body);
}

function refusalOf(error: unknown): HostRefusal | undefined {
  if (error instanceof HostRefusal) return error;
  if (error instanceof SqliteError && error.code === 'SQLITE_CORRUPT')
    return new HostRefusal('DAMAGED', 'The file of this host is damaged.');
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  if (error.statusCode === 413)
    return new HostRefusal('TOO_LARGE', `The body is larger than ${MAX_BODY_BYTES} bytes. Send less at a time.`);
  if (typeof error.statusCode === 'number' && error.statusCode < 500)
    return new HostRefusal('BAD_REQUEST', error.message);
  return undefined;
}
