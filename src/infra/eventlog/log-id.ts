import { randomInt } from 'node:crypto';

/** Crockford's base32, lower case. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LENGTH = 6;
const LOG_ID = new RegExp(`^[${ALPHABET}]{${LENGTH}}$`);

/** Returns a random id for a new log: 6 characters of Crockford's base32. */
export function newLogId(): string {
  return Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

/** Whether a value has the form of a log id. */
export function isLogId(value: unknown): value is string {
  return typeof value === 'string' && LOG_ID.test(value);
}
