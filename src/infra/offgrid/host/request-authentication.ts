import type { IncomingHttpHeaders } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../platform/clock.js';
import {
  BODY_HEADER,
  clockSignature,
  DATE_HEADER,
  isRequestSignature,
  MAX_SKEW_SECONDS,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  type HostKey,
} from '../protocol/authentication.js';
import type { Fingerprint } from '../protocol/fields.js';
import { RefusalError } from './refusal-error.js';

/** The number of remembered nonces: more than arrive while one is valid, except in a deliberate flood. */
const MAX_NONCES = 100_000;
const DATE = /^\d{1,15}$/;
const NONCE = /^[0-9a-f]{32}$/;
const HASH = /^[0-9a-f]{64}$/;

/** The request is not authenticated. */
export class UnauthenticatedError extends RefusalError {
  /** The headers with the host's clock, if only the date of the request was wrong; otherwise none. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(message: string, headers: Readonly<Record<string, string>> = {}) {
    super({ code: 'UNAUTHENTICATED', message });
    this.headers = headers;
  }
}

/** A request without its body. */
export interface RequestHead {
  readonly method: string;
  /** The path with the query, as received. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** Authenticates requests with the key of this host; each request is valid once. It reads method, path and headers only. */
export class RequestAuthentication {
  readonly #key: HostKey;
  readonly #host: Fingerprint;
  readonly #clock: Clock;
  // Limited by size: with `max`, the cache would allocate space for all entries in advance.
  readonly #seen = new LRUCache<string, true>({ maxSize: MAX_NONCES, sizeCalculation: () => 1 });

  constructor(key: HostKey, host: Fingerprint, clock: Clock) {
    this.#key = key;
    this.#host = host;
    this.#clock = clock;
  }

  /** Checks a request. @returns the SHA-256 that its body must have, 64 hexadecimal digits @throws UnauthenticatedError */
  assertAuthentic({ method, path, headers }: RequestHead): string {
    const {
      [DATE_HEADER]: date,
      [NONCE_HEADER]: nonce,
      [BODY_HEADER]: bodyHash,
      [SIGNATURE_HEADER]: signature,
    } = headers;
    if (
      typeof date !== 'string' ||
      typeof nonce !== 'string' ||
      typeof bodyHash !== 'string' ||
      typeof signature !== 'string'
    )
      throw new UnauthenticatedError(
        `The request must have the headers ${DATE_HEADER}, ${NONCE_HEADER}, ${BODY_HEADER} and ${SIGNATURE_HEADER}, made with the key of this host (protocol 2).`,
      );
    if (!DATE.test(date) || !NONCE.test(nonce) || !HASH.test(bodyHash))
      throw new UnauthenticatedError(
        `${DATE_HEADER} must be seconds since 1970, ${NONCE_HEADER} 32 digits of 0-9a-f and ${BODY_HEADER} 64 of them.`,
      );
    const now = Math.floor(this.#clock.now().getTime() / 1000);
    const isOnTime = Math.abs(Number(date) - now) <= MAX_SKEW_SECONDS;
    if (!isRequestSignature(this.#key, { host: this.#host, method, path, date, nonce, bodyHash }, signature))
      throw new UnauthenticatedError(
        'The request is not signed with the key of this host, or is meant for another host.',
      );
    if (!isOnTime) throw this.#wrongClock(date, nonce, String(now));
    if (this.#seen.has(nonce)) throw new UnauthenticatedError('The nonce of this request was used before.');
    this.#seen.set(nonce, true);
    return bodyHash;
  }

  #wrongClock(date: string, nonce: string, now: string): UnauthenticatedError {
    return new UnauthenticatedError(
      `The clocks are too far apart: the host's is at ${now}, the request's date is ${date} (seconds since 1970).`,
      {
        [DATE_HEADER]: now,
        [SIGNATURE_HEADER]: clockSignature(this.#key, this.#host, nonce, now),
      },
    );
  }
}

/** The nonce of a request, for the HMAC of its answer; empty when it is missing or malformed. */
export function nonceOf(headers: IncomingHttpHeaders): string {
  const nonce = headers[NONCE_HEADER];
  return typeof nonce === 'string' && NONCE.test(nonce) ? nonce : '';
}
