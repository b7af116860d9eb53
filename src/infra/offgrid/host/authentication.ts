import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.js';
import {
  clockSignature,
  DATE_HEADER,
  MAX_SKEW_SECONDS,
  NONCE_HEADER,
  requestSignature,
  sameSignature,
  SIGNATURE_HEADER,
  type AuthenticatedRequest,
} from '../wire/auth.js';

/** Nonces remembered: more than can come in the time in which one is good, unless on purpose. */
const MAX_NONCES = 100_000;
const NONCE = /^[0-9a-f]{32}$/;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What comes of a request's headers. */
export type Authenticity =
  | { readonly isAuthentic: true }
  | {
      readonly isAuthentic: false;
      readonly message: string;
      /** The host's clock, for one who knows the key but not the time. */
      readonly headers?: Readonly<Record<string, string>>;
    };

/** Tells the requests of those who know the key, each of which is good once. */
export class Authentication {
  readonly #key: string;
  readonly #host: string;
  readonly #clock: Clock;
  readonly #seen = new LRUCache<string, true>({ max: MAX_NONCES });

  constructor(key: string, host: string, clock: Clock) {
    this.#key = key;
    this.#host = host;
    this.#clock = clock;
  }

  judge(request: Omit<AuthenticatedRequest, 'host'>, headers: Headers): Authenticity {
    const [date, nonce, signature] = [headers[DATE_HEADER], headers[NONCE_HEADER], headers[SIGNATURE_HEADER]];
    if (typeof date !== 'string' || typeof nonce !== 'string' || typeof signature !== 'string')
      return refused(`This needs ${DATE_HEADER}, ${NONCE_HEADER} and ${SIGNATURE_HEADER}, made with OFFGRID_AUTH_KEY.`);
    if (!/^\d{1,15}$/.test(date) || !NONCE.test(nonce))
      return refused(`${DATE_HEADER} is in Unix seconds, ${NONCE_HEADER} 32 hexadecimal digits.`);
    const expected = requestSignature(this.#key, { ...request, host: this.#host }, date, nonce);
    if (!sameSignature(expected, signature))
      return refused('The request is not signed with the OFFGRID_AUTH_KEY of this host, or is meant for another host.');
    const now = Math.floor(this.#clock.now().getTime() / 1000);
    if (Math.abs(Number(date) - now) > MAX_SKEW_SECONDS) {
      const own = String(now);
      const proof = clockSignature(this.#key, this.#host, nonce, own);
      const message = `The clocks are too far apart: it is ${own} here, not ${date} (Unix seconds).`;
      return { isAuthentic: false, message, headers: { [DATE_HEADER]: own, [SIGNATURE_HEADER]: proof } };
    }
    if (this.#seen.has(nonce)) return refused('This request has been here before.');
    this.#seen.set(nonce, true);
    return { isAuthentic: true };
  }
}

function refused(message: string): Authenticity {
  return { isAuthentic: false, message };
}
