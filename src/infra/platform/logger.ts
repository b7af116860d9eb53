import type { FastifyBaseLogger } from 'fastify';

/** Structured logging: pino, as Fastify uses it. */
export type Logger = FastifyBaseLogger;
