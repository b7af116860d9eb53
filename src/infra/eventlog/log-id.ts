import { randomInt } from 'node:crypto';

/** Crockford's base32, lower case. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LENGTH = 6;
const LOG_ID = new RegExp(`^[${ALPHABET}]{${LENGTH}}$`);

/** A name for a new log. */
export function newLogId(): string {
  return Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

/** Whether a value may name a log. */
export function isLogId(value: unknown): value is string {
  return typeof value === 'string' && LOG_ID.test(value);
}
