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

/** Nonces remembered: more than can come in the time in which one is good, unless on purpose. */
const MAX_NONCES = 100_000;
const DATE = /^\d{1,15}$/;
const NONCE = /^[0-9a-f]{32}$/;
const HASH = /^[0-9a-f]{64}$/;

/** The request is not by one who knows the key. */
export class UnauthenticatedError extends RefusalError {
  /** The host's clock, for one who knows the key but not the time. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(message: string, headers: Readonly<Record<string, string>> = {}) {
    super({ code: 'UNAUTHENTICATED', message });
    this.headers = headers;
  }
}

/** What is known of a request before its body was read. */
export interface RequestHead {
  readonly method: string;
  /** Path with query, as it came. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** Tells the requests of those who know the key of this host, each of which is good once. It looks at headers only. */
export class RequestAuthentication {
  readonly #key: HostKey;
  readonly #host: Fingerprint;
  readonly #clock: Clock;
  // By size: by number, room for all of them would be taken at once.
  readonly #seen = new LRUCache<string, true>({ maxSize: MAX_NONCES, sizeCalculation: () => 1 });

  constructor(key: HostKey, host: Fingerprint, clock: Clock) {
    this.#key = key;
    this.#host = host;
    this.#clock = clock;
  }

  /** @returns what the body's SHA-256 must be, 64 hexadecimal digits @throws UnauthenticatedError */
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
        `This needs ${DATE_HEADER}, ${NONCE_HEADER}, ${BODY_HEADER} and ${SIGNATURE_HEADER}, made with the key of this host (protocol 2).`,
      );
    if (!DATE.test(date) || !NONCE.test(nonce) || !HASH.test(bodyHash))
      throw new UnauthenticatedError(
        `${DATE_HEADER} is in seconds since 1970, ${NONCE_HEADER} is 32 digits of 0-9a-f and ${BODY_HEADER} 64.`,
      );
    const now = Math.floor(this.#clock.now().getTime() / 1000);
    const isOnTime = Math.abs(Number(date) - now) <= MAX_SKEW_SECONDS;
    if (!isRequestSignature(this.#key, { host: this.#host, method, path, date, nonce, bodyHash }, signature))
      throw new UnauthenticatedError(
        'The request is not signed with the key of this host, or is meant for another host.',
      );
    if (!isOnTime) throw this.#wrongClock(date, nonce, String(now));
    if (this.#seen.has(nonce)) throw new UnauthenticatedError('This request has been here before.');
    this.#seen.set(nonce, true);
    return bodyHash;
  }

  #wrongClock(date: string, nonce: string, now: string): UnauthenticatedError {
    return new UnauthenticatedError(
      `The clocks are too far apart: it is ${now} here, not ${date} (seconds since 1970).`,
      {
        [DATE_HEADER]: now,
        [SIGNATURE_HEADER]: clockSignature(this.#key, this.#host, nonce, now),
      },
    );
  }
}

/** The nonce of a request, for the HMAC of its answer; empty when it has none that is well formed. */
export function nonceOf(headers: IncomingHttpHeaders): string {
  const nonce = headers[NONCE_HEADER];
  return typeof nonce === 'string' && NONCE.test(nonce) ? nonce : '';
}
