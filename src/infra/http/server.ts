import type { Duplex } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import { WebSocketServer } from 'ws';
import { allows, Authenticator, type ApiToken, type Caller, type Role } from '../access/auth.js';
import { crossSiteRefusal } from '../access/cross-site.js';
import { serveGraphQL } from '../graphql/http.js';
import type { ApiContext } from '../graphql/kit/context.js';
import { makeLoaders } from '../graphql/kit/loaders.js';
import { serveWebSocket } from '../graphql/websocket.js';
import { errorBody, handleErrors, HttpError, refuseUrl } from '../http-kit/error-answer.js';
import { RefusalLog } from '../http-kit/refusal-log.js';
import { closeServer, newServer } from '../http-kit/server.js';
import { atMost } from '../platform/at-most.js';
import { newId } from '../platform/ids.js';
import type { Logger } from '../platform/logger.js';
import type { CoreServices } from '../services/core-services.js';
import { errorAnswer } from '../services/error-answer.js';
import { serveHealth } from './health.js';
import { serveMetrics } from './metrics.js';
import { servePlayground } from './playground.js';
import { serveRest } from './rest.js';

/** The maximum size of a body or of a WebSocket message, in bytes. */
const MAX_BODY_BYTES = 1024 * 1024;
/** How long a request may take to arrive completely, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The maximum number of WebSocket clients. */
const MAX_WEBSOCKETS = 1_000;
/** The maximum number of TCP connections. */
const MAX_CONNECTIONS = 10_000;
/** How long clients may take to end when the server stops, in milliseconds: first WebSockets, then requests. */
const GOODBYE_MS = 3_000;
/** How long the server waits for the end of a connection that it has terminated, in milliseconds. */
const TORN_MS = 500;

/** Paths that answer without a token: the playground, and the health of this node in codes and states. They reveal no data. */
const OPEN = /^\/(livez|readyz|playground(\/.*)?)?$/;

/** The options of a core's server. */
export interface ServerOptions {
  readonly bind: string;
  readonly port: number;
  /** Without tokens, every caller is an operator. */
  readonly apiTokens: readonly ApiToken[];
  /** Whether clients may query the schema. */
  readonly introspection: boolean;
}

/** A server that is listening. */
export interface HttpServer {
  /** The address that it listens at: `http://host:port`. */
  readonly url: string;
  /** Stops accepting, finishes requests and closes WebSockets with 1001. Connections that take too long are terminated. */
  close(): Promise<void>;
}

/** Serves every API of a core over HTTP and WebSocket. @throws the system's error when it cannot listen */
export async function startServer(
  options: ServerOptions,
  services: CoreServices,
  schema: GraphQLSchema,
  logger: Logger,
): Promise<HttpServer> {
  const authenticator = new Authenticator(options.apiTokens);
  const hasTokens = options.apiTokens.length > 0;
  const app = newServer(logger, {
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    frameworkErrors: refuseUrl(errorBody),
    genReqId: ({ headers }) => requestId(headers['x-correlation-id']),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  const webSockets = new WebSocketServer({ noServer: true, maxPayload: MAX_BODY_BYTES, perMessageDeflate: false });
  let stopping = false;

  const makeContext = (caller: Caller, correlationId: string): ApiContext => ({
    services,
    loaders: makeLoaders(services.db, services.outboxDb),
    caller,
    correlationId,
  });
  const authorize = (request: FastifyRequest, needed: Role): Caller => {
    const caller = authenticator.caller(request.headers.authorization);
    if (caller === undefined) throw unauthenticated();
    if (!allows(caller.role, needed))
      throw new HttpError(
        403,
        'FORBIDDEN',
        `This request requires the role ${needed}; the token has the role ${caller.role}.`,
      );
    return caller;
  };

  const refusals = new RefusalLog(logger);
  handleErrors(app, {
    refusals,
    answerTo: errorAnswer,
    body: errorBody,
    internalCode: 'INTERNAL_SERVER_ERROR',
    challenge: 'Bearer',
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const refusal = crossSiteRefusal(request, hasTokens);
    if (refusal !== undefined) done(new HttpError(403, 'FORBIDDEN', refusal));
    else if (!OPEN.test(request.url.split('?')[0] ?? ''))
      done(authenticator.caller(request.headers.authorization) === undefined ? unauthenticated() : undefined);
    else done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, url } = request;
    request.log.debug({ method, url, status: reply.statusCode, ms: reply.elapsedTime }, 'request');
    done();
  });
  serveMetrics(app, services, () => webSockets.clients.size);
  serveHealth(app, services, () => stopping);
  await servePlayground(app);
  await serveRest(app, { services, authorize });
  const apollo = await serveGraphQL(app, schema, options.introspection, refusals, (request) =>
    makeContext(authorize(request, 'viewer'), request.id),
  );

  const sockets = serveWebSocket({
    server: webSockets,
    schema,
    logger,
    refusals,
    introspection: options.introspection,
    callerOf: (authorization) => authenticator.caller(authorization),
    makeContext: (caller) => makeContext(caller, newId()),
  });
  /** Sockets that requested an upgrade: the HTTP server no longer controls them, but waits for their end. */
  const upgraded = new Set<Duplex>();
  app.server.on('upgrade', (request, socket, head) => {
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    const refuse = (status: string, code: string, message: string) => {
      const body = JSON.stringify(errorBody({ code, message }));
      // The client may never close its half of the connection.
      socket.once('finish', () => socket.destroy());
      socket.end(
        `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    };
    socket.on('error', () => socket.destroy());
    const refusal = crossSiteRefusal(request, hasTokens);
    if (refusal !== undefined) refuse('403 Forbidden', 'FORBIDDEN', refusal);
    else if (!/^\/graphql(\?|$)/.test(request.url ?? ''))
      refuse('404 Not Found', 'NOT_FOUND', 'WebSockets are served only at /graphql.');
    else if (stopping) refuse('503 Service Unavailable', 'STOPPING', 'This node is stopping. Try again later.');
    else if (webSockets.clients.size >= MAX_WEBSOCKETS)
      refuse(
        '503 Service Unavailable',
        'TOO_MANY_CLIENTS',
        `This node already has ${MAX_WEBSOCKETS} WebSocket clients, the maximum. Try again later.`,
      );
    else webSockets.handleUpgrade(request, socket, head, (client) => webSockets.emit('connection', client, request));
  });

  try {
    const url = await app.listen({ host: options.bind, port: options.port });
    return { url, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function close(): Promise<void> {
    stopping = true;
    const goodbye = Promise.resolve(sockets.dispose());
    await atMost(GOODBYE_MS, goodbye);
    for (const client of webSockets.clients) client.terminate();
    await atMost(TORN_MS, goodbye);
    await closeServer(app, { graceMs: GOODBYE_MS, tornMs: TORN_MS }, () => {
      for (const socket of upgraded) socket.destroy();
    });
    await atMost(TORN_MS, apollo.stop());
  }
}

function unauthenticated(): HttpError {
  return new HttpError(
    401,
    'UNAUTHENTICATED',
    'This request requires a bearer token. Send `authorization: Bearer <token>` with one of SHERATAN_API_TOKENS.',
  );
}

/** The id of a request: the caller's own if it has 1–64 allowed characters, otherwise a new one. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[A-Za-z0-9_.:-]{1,64}$/.test(given) ? given : newId();
}
