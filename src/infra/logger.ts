import type { Logger as Pino } from 'pino';

/** Structured logging, as Fastify's pino does it. */
export type Logger = Pick<Pino, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'child' | 'level'>;
