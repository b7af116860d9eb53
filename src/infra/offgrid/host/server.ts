import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { closeServer, newServer } from '../../http-kit/server.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { isLoopback } from '../../platform/loopback.js';
import { SqliteError } from '../../sqlite/connection.js';
import { ProcessLock } from '../../sqlite/process-lock.js';
import { ANSWER_HEADER, answerSignature, hostKeyOf, type HostKey } from '../protocol/authentication.js';
import { MAX_SHORT_BODY_BYTES, type Fingerprint, type Origin } from '../protocol/fields.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { VerifyKey } from '../protocol/verify-key.js';
import { Blobs } from './blobs.js';
import { readBody } from './body-reader.js';
import { ConnectionLimits, MAX_CONNECTIONS } from './connection-limits.js';
import { EventContents } from './event-contents.js';
import { HostFile } from './host-file.js';
import { newIdentity, readIdentity, type Identity } from './identity.js';
import { serveMemory } from './memory-routes.js';
import { Memory } from './memory.js';
import { HostMetrics } from './metrics.js';
import { RefusalError, UnprovenRequestError } from './refusal-error.js';
import { serveReplicas } from './replica-routes.js';
import { Replicas } from './replicas.js';
import { nonceOf, RequestAuthentication, UnauthenticatedError } from './request-authentication.js';
import { scrub } from './scrub.js';
import { SqliteReplicaStore } from './sqlite-replica-store.js';

/** The protocol version that `/pubkeys` states. */
const PROTOCOL = 2;
/** The time limit for the headers of a request, in milliseconds. */
const HEADERS_TIMEOUT_MS = 10_000;
/** The interval at which that limit is checked, in milliseconds. */
const TIMEOUT_CHECK_MS = 1_000;
/** The router's limit on a path parameter, in characters: far above valid names, so that invalid ones reach the handlers. */
const MAX_PARAM_LENGTH = 1_024;
/** The maximum body of the prototype's paths, in bytes: a payload of 1 MiB in base64, and its meta. */
const MAX_MEMORY_BODY_BYTES = 2 * 1024 * 1024;
/** How long a close waits for requests in progress, and then for the connections that it cuts, in milliseconds. */
const CLOSE_MS = 5_000;
/** How long a connection may be idle between requests, in milliseconds. */
const KEEP_ALIVE_MS = 60_000;

/** The configuration of a host. */
export interface HostOptions {
  /** The host's own folder. */
  readonly folder: string;
  readonly name: string;
  readonly bind: string;
  readonly port: number;
  /** OFFGRID_AUTH_KEY, from which the host's own key is derived; or that key itself (OFFGRID_HOST_KEY). */
  readonly authKey: string | HostKey;
  /** The maximum number of bytes that the host keeps. */
  readonly budgetBytes: number;
  /** Contents above this size are files, in bytes. */
  readonly chunkThreshold: number;
  /** Keys from OFFGRID_ORIGINS. If there are none, the first claim of an origin pins its key. */
  readonly origins?: ReadonlyMap<Origin, VerifyKey>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The rate of the scrub, in bytes per second; by default 1 MiB. */
  readonly scrubBytesPerSecond?: number;
  /** The pause between two rounds of the scrub, in milliseconds; by default a minute. */
  readonly scrubEveryMs?: number;
}

/** A running host. */
export interface RunningHost {
  readonly url: string;
  readonly identity: Identity;
  /** The bytes left in the budget. */
  readonly freeBytes: number;
  /** Waits for requests in progress and closes the host's files. */
  close(): Promise<void>;
}

/** Starts a storage host. @throws Error with the cause when it cannot start; everything opened is closed again */
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
    const { identity, file } = await openFolder(folder, budgetBytes);
    opened.push(() => file.close());
    const contents = new EventContents(await Blobs.open(join(folder, 'blobs')), chunkThreshold);
    const store = await SqliteReplicaStore.open(file, contents, clock);
    const replicas = new Replicas({ store, identity, clock, origins: options.origins ?? new Map() });
    const metrics = new HostMetrics({ store, replicas, budgetBytes, clock });
    const stopping = new AbortController();
    const scrubbing = scrub(
      {
        ...{ store, replicas, logger },
        ...(options.scrubBytesPerSecond === undefined ? {} : { bytesPerSecond: options.scrubBytesPerSecond }),
        ...(options.scrubEveryMs === undefined ? {} : { betweenRoundsMs: options.scrubEveryMs }),
      },
      stopping.signal,
    );
    opened.push(async () => {
      stopping.abort();
      await scrubbing;
    });
    const key = typeof options.authKey === 'string' ? hostKeyOf(options.authKey, identity.id) : options.authKey;
    const app = newApp(logger, (refusal, request, reply) => {
      metrics.answered(refusal.code);
      refuse(refusal, request, reply);
    });
    opened.push(() => closeServer(app, { graceMs: CLOSE_MS, tornMs: CLOSE_MS }));
    serve(app, { ...options, key, identity, replicas, metrics, memory: new Memory(file) });
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

/**
 * The folder determines the host's identity. A file without an identity becomes the file of a new host. An identity without
 * its file, or with another host's file, belongs to a host that has lost what it signed for.
 */
async function openFolder(folder: string, budgetBytes: number): Promise<{ identity: Identity; file: HostFile }> {
  const [keys, path] = [join(folder, 'identity.pem'), join(folder, 'host.db')];
  const known = await readIdentity(keys);
  if (known === undefined) {
    // The file is created first, because an identity without a file counts as a host that has lost what it signed for.
    const made = newIdentity();
    const file = await HostFile.open(path, made.id, budgetBytes);
    try {
      if ((await file.fingerprint()) !== made.id) await file.become(made.id);
      return { identity: await made.write(keys), file };
    } catch (error) {
      await file.close();
      throw error;
    }
  }
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  const advice = `The host has lost what it signed for and must become another: move ${keys} away, start the host, and give its new fingerprint to the cores.`;
  if (!isThere) throw new Error(`${keys} exists, but ${path} does not. ${advice}`);
  const file = await HostFile.open(path, undefined, budgetBytes);
  const owner: Fingerprint | undefined = await file.fingerprint();
  if (owner === known.id) return { identity: known, file };
  await file.close();
  throw new Error(`${path} belongs to host ${String(owner)}, but ${keys} belongs to host ${known.id}. ${advice}`);
}

/** @param refuse answers a request that is refused before it is routed */
function newApp(
  logger: Logger,
  refuse: (refusal: RefusalError, request: FastifyRequest, reply: FastifyReply) => void,
): FastifyInstance {
  const app = newServer(logger, {
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The total time for a body is not limited; readBody checks its rate.
    requestTimeout: 0,
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS },
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error, request, reply) => {
      refuse(new UnprovenRequestError({ code: 'BAD_REQUEST', message: error.message }), request, reply);
    },
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  hangUpWhenClosing(app);
  // Handlers read bodies themselves, when it is the request's turn.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => {
    done(null, payload);
  });
  return app;
}

interface Served extends HostOptions {
  readonly key: HostKey;
  readonly identity: Identity;
  readonly replicas: Replicas;
  readonly metrics: HostMetrics;
  readonly memory: Memory;
}

function serve(app: FastifyInstance, served: Served): void {
  const { key, identity, replicas, metrics, memory, bind, clock } = served;
  const limits = new ConnectionLimits();
  limits.watch(app.server);
  const authentication = new RequestAuthentication(key, identity.id, clock);
  const bodyHashes = new WeakMap<FastifyRequest, Uint8Array>();
  const authenticate = (request: FastifyRequest) => {
    const { method, url: path, headers } = request;
    bodyHashes.set(request, Buffer.from(authentication.assertAuthentic({ method, path, headers }), 'hex'));
    limits.authenticated(request.socket.remoteAddress ?? '');
  };
  const bodyHashOf = (request: FastifyRequest) => {
    const hash = bodyHashes.get(request);
    if (hash === undefined) throw new Error('a request was served without being authenticated');
    return hash;
  };
  const signer = { key, host: identity.id };
  const unproven = new WeakSet<FastifyRequest>();

  app.addHook('onSend', (request, reply, payload, done) => {
    if (isReplicaPath(request) && !unproven.has(request))
      sign(request, reply, payload instanceof Uint8Array ? payload : new Uint8Array(), signer);
    done();
  });
  app.addHook('onResponse', (_request, reply, done) => {
    if (reply.statusCode < 400) metrics.answered('OK');
    done();
  });
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error);
    if (refusal.code === 'INTERNAL') request.log.error({ err: error }, 'request failed');
    else if (refusal.status >= 500) request.log.warn({ code: refusal.code, url: request.url }, refusal.message);
    metrics.answered(refusal.code);
    if (refusal instanceof UnprovenRequestError) unproven.add(request);
    return refuse(refusal, request, reply);
  });
  app.setNotFoundHandler((request) => {
    const message = `This host does not serve ${request.method} ${request.url.slice(0, 200)}.`;
    throw new UnprovenRequestError({ code: 'NOT_FOUND', message });
  });

  void app.register((replicaPaths, _options, done) => {
    // The router accepts other spellings of these paths; no request is served before its headers are checked.
    replicaPaths.addHook('onRequest', (request, _reply, next) => {
      if (!isReplicaPath(request))
        throw new UnprovenRequestError({
          code: 'BAD_REQUEST',
          message: 'The path is not in the form that the protocol prescribes: it must begin with /replica/.',
        });
      authenticate(request);
      next();
    });
    serveReplicas(replicaPaths, replicas, bodyHashOf);
    done();
  });
  void app.register((rest, _options, done) => {
    const isLocal = isLoopback(bind);
    const open = (request: FastifyRequest) => {
      if (!isLocal) authenticate(request);
    };
    rest.addHook('onRequest', (request, _reply, next) => {
      if (request.method === 'POST') authenticate(request);
      next();
    });
    rest.addHook('preHandler', async (request) => {
      if (request.method !== 'POST') return;
      const body = await readBody(request.raw, MAX_MEMORY_BODY_BYTES);
      if (!equalBytes(sha256(body), bodyHashOf(request)))
        throw new UnauthenticatedError('The body differs from the one that the request is signed for.');
      request.body = body;
    });
    // A POST was authenticated before its body was read, so the handler need not do it again.
    serveMemory(rest, { ...served, identity, memory, protocol: PROTOCOL, authenticate: () => undefined, open });
    rest.get('/metrics', async (request, reply) => {
      open(request);
      return reply.type(metrics.registry.contentType).send(await metrics.text());
    });
    done();
  });
}

/** The key and the fingerprint that answers are signed with. */
interface Signer {
  readonly key: HostKey;
  readonly host: Fingerprint;
}

/** Adds the HMAC of the host to an answer. */
function sign(request: FastifyRequest, reply: FastifyReply, body: Uint8Array, { key, host }: Signer): void {
  const nonce = nonceOf(request.headers);
  void reply.header(ANSWER_HEADER, answerSignature(key, { host, nonce, status: reply.statusCode, body }));
}

/** Whether a URL begins as the protocol prescribes for the paths of replicas. */
function isReplicaPath({ url }: FastifyRequest): boolean {
  return url.startsWith('/replica/');
}

function refuse(refusal: RefusalError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  void reply.code(refusal.status);
  if (refusal instanceof UnauthenticatedError) void reply.headers(refusal.headers);
  // The rest of a large body is not awaited.
  const length = request.headers['content-length'];
  const hasLongBody = request.headers['transfer-encoding'] !== undefined || Number(length ?? 0) > MAX_SHORT_BODY_BYTES;
  if (hasLongBody && !request.raw.complete) void reply.header('connection', 'close');
  if (!request.url.startsWith('/replica'))
    return reply.send({ error: { code: refusal.code, message: refusal.message } });
  return reply.type('application/cbor').send(Buffer.from(refusal.body));
}

function refusalOf(error: unknown): RefusalError {
  if (error instanceof RefusalError) return error;
  if (error instanceof ProtocolError) {
    const code = error.code === 'TOO_LARGE' ? 'TOO_LARGE' : 'BAD_REQUEST';
    return new RefusalError({ code, message: `${error.message}.` }, { cause: error });
  }
  if (error instanceof SqliteError && error.code === 'SQLITE_CORRUPT')
    return new RefusalError(
      { code: 'DAMAGED', message: 'The database file of this host is damaged.' },
      { cause: error },
    );
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' && error.statusCode < 500)
    return new UnprovenRequestError({ code: 'BAD_REQUEST', message: error.message }, { cause: error });
  return new RefusalError(
    { code: 'INTERNAL', message: "The host failed to process the request. The cause is in the host's log." },
    { cause: error },
  );
}

/** Closes connections after the answers that are sent while the host closes; otherwise the host would wait for their end. */
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
