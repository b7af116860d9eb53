import { pino } from 'pino';

/** A logger that discards everything. */
export const quiet = pino({ level: 'silent' });
