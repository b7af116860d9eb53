import { pino } from 'pino';

/** A logger for what is not looked at. */
export const quiet = pino({ level: 'silent' });
