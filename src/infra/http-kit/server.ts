import type { Server } from 'node:http';
import fastify, { LogController, type FastifyHttpOptions, type FastifyInstance } from 'fastify';
import { atMost } from '../platform/at-most.js';
import type { Logger } from '../platform/logger.js';

/**
 * No route has a schema: our own code checks bodies. Without this, every start loads Fastify's validator and its serializer.
 */
const NO_SCHEMAS = {
  compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas },
};

function noSchemas(): never {
  throw new Error('A route has a schema, and no compiler is loaded for it.');
}

/** The settings in which the servers differ. */
export type ServerSettings = Omit<FastifyHttpOptions<Server>, 'loggerInstance' | 'logger'>;

/** A Fastify server that logs no requests by itself, and that closes idle connections when it closes. */
export function newServer(logger: Logger, options: ServerSettings): FastifyInstance {
  return fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: 'idle',
    schemaController: NO_SCHEMAS,
    ...options,
  });
}

/** The time limits of a close, in milliseconds. */
export interface CloseLimits {
  /** How long requests in progress may take before their connections are cut. */
  readonly graceMs: number;
  /** How long to wait then for the cut connections. */
  readonly tornMs: number;
}

/**
 * Closes a server: it accepts no more requests and finishes those in progress, within limits.
 * @param cut cuts connections that the server no longer knows, such as upgraded ones
 */
export async function closeServer(
  app: FastifyInstance,
  { graceMs, tornMs }: CloseLimits,
  cut: () => void = () => undefined,
): Promise<void> {
  const closed = app.close();
  await atMost(graceMs, closed);
  app.server.closeAllConnections();
  cut();
  await atMost(tornMs, closed);
}
