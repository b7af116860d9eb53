import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../platform/clock.js';
import { pythonJson, rawText, type PythonObject, type ReceivedObject } from './python-json.js';
import { unixSeconds } from './time.js';

/**
 * The signature of a body that is posted to a broker. The body contains `timestamp`, in Unix seconds, and `signature`: the
 * HMAC-SHA256, under the shared key, of the body without `signature` in Python's text. Current clients also send a `nonce`,
 * which the broker remembers; old clients send none, so their bodies can be replayed within the window.
 */

/** The maximum difference between a timestamp and the broker's time, in seconds. */
export const SIGNATURE_WINDOW_S = 300;
/** How long a nonce is remembered, in seconds: a timestamp one window in the future becomes stale after two windows. */
const NONCE_LIFE_S = 2 * SIGNATURE_WINDOW_S;
/** The maximum number of remembered nonces. */
const MAX_NONCES = 100_000;
const NONCE_BYTES = 16;
const NONCE = /^[A-Za-z0-9_-]{16,128}$/;
const SIGNATURE = /^[0-9a-f]{64}$/i;

/** A new random nonce. */
export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('hex');
}

/** The text of a body with `timestamp`, `nonce` and `signature`. @throws PythonJsonError when the body cannot be signed */
export function signBody(body: PythonObject, authKey: string, now: Date, nonce = newNonce()): string {
  const unsigned = { ...body, timestamp: unixSeconds(now), nonce };
  return pythonJson({ ...unsigned, signature: signatureOf(unsigned, authKey).toString('hex') });
}

function signatureOf(unsigned: PythonObject, authKey: string): Buffer {
  return createHmac('sha256', authKey).update(pythonJson(unsigned)).digest();
}

/**
 * The broker's time, sent to a client whose clock is wrong, because the client may have no other time source. The signature
 * covers the nonce of the refused request, so that no other party, and no old answer, can set a client's clock.
 */
export interface SignedTime extends PythonObject {
  /** In Unix seconds. */
  readonly time: number;
  readonly nonce: string;
  readonly signature: string;
}

function signTime(time: number, nonce: string, authKey: string): SignedTime {
  return { time, nonce, signature: signatureOf({ time, nonce }, authKey).toString('hex') };
}

/** The broker's time, in Unix seconds; `undefined` unless it is signed for the nonce that was sent. */
export function readTime({ time, nonce, signature }: SignedTime, authKey: string, sent: string): number | undefined {
  const isSigned = nonce === sent && isEqual(signature, signatureOf({ time, nonce }, authKey));
  return isSigned ? time : undefined;
}

function isEqual(signature: string, expected: Buffer): boolean {
  return SIGNATURE.test(signature) && timingSafeEqual(Buffer.from(signature, 'hex'), expected);
}

/** Why a body is refused. */
export interface SignatureProblem {
  readonly status: 401 | 503;
  readonly code: 'BAD_SIGNATURE' | 'STALE_TIMESTAMP' | 'REPLAYED' | 'TOO_MANY_NONCES';
  readonly message: string;
  /** With STALE_TIMESTAMP, if the body has a nonce. */
  readonly clock?: SignedTime;
}

/** Verifies that bodies are signed under the key, recent, and not replayed. */
export class SignatureVerifier {
  readonly #authKey: string;
  readonly #clock: Clock;
  readonly #maxNonces: number;
  /** The time until which each nonce is remembered, in Unix seconds; the oldest first. */
  readonly #nonces = new Map<string, number>();

  constructor(authKey: string, clock: Clock, maxNonces = MAX_NONCES) {
    this.#authKey = authKey;
    this.#clock = clock;
    this.#maxNonces = maxNonces;
  }

  /** Why a body is refused; `undefined` if it is accepted, in which case the same nonce is not accepted again. */
  verify(body: ReceivedObject): SignatureProblem | undefined {
    const { signature, ...unsigned } = body;
    // The signature is checked first, so that only clients with the key learn more, such as the broker's time.
    if (typeof signature !== 'string' || !isEqual(signature, signatureOf(unsigned, this.#authKey)))
      return BAD_SIGNATURE;
    const now = this.#clock.now().getTime() / 1_000;
    const { timestamp, nonce } = unsigned;
    const at = Number(rawText(timestamp) ?? NaN);
    if (!(Math.abs(now - at) <= SIGNATURE_WINDOW_S)) return this.#stale(timestamp, now, nonce);
    if (nonce === undefined) return undefined;
    if (typeof nonce !== 'string' || !NONCE.test(nonce)) return BAD_NONCE;
    return this.#remember(nonce, now);
  }

  #stale(timestamp: unknown, now: number, nonce: unknown): SignatureProblem {
    const given = rawText(timestamp);
    const was = given === undefined ? 'is missing or not a number' : `is ${given}`;
    const time = Math.floor(now);
    const message = `\`timestamp\` ${was}; the broker's time is ${time}, and a difference of ${SIGNATURE_WINDOW_S} s is accepted. Set the clock.`;
    const clock = typeof nonce === 'string' && NONCE.test(nonce) && { clock: signTime(time, nonce, this.#authKey) };
    return { status: 401, code: 'STALE_TIMESTAMP', message, ...clock };
  }

  #remember(nonce: string, now: number): SignatureProblem | undefined {
    for (const [known, until] of this.#nonces) {
      if (until >= now) break;
      this.#nonces.delete(known);
    }
    if (this.#nonces.has(nonce)) return REPLAYED;
    // Forgetting a nonce instead would allow its body to be replayed.
    if (this.#nonces.size >= this.#maxNonces) return TOO_MANY_NONCES;
    this.#nonces.set(nonce, now + NONCE_LIFE_S);
    return undefined;
  }
}

const BAD_SIGNATURE: SignatureProblem = {
  status: 401,
  code: 'BAD_SIGNATURE',
  message:
    'The body is not signed under the key of this broker (OFFGRID_AUTH_KEY): `signature` is the hex HMAC-SHA256 of the rest, as Python’s json.dumps(…, sort_keys=True) writes it.',
};
const BAD_NONCE: SignatureProblem = {
  status: 401,
  code: 'BAD_SIGNATURE',
  message: '`nonce` must be text of 16–128 letters, digits, _ or -, new for each request. Old clients omit it.',
};
const REPLAYED: SignatureProblem = {
  status: 401,
  code: 'REPLAYED',
  message: 'This body was received before. Sign each body with a new `nonce`.',
};
const TOO_MANY_NONCES: SignatureProblem = {
  status: 503,
  code: 'TOO_MANY_NONCES',
  message: `More requests arrived within ${NONCE_LIFE_S} s than this broker can check for replays. Try again later.`,
};
