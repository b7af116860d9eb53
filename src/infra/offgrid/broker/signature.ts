import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../platform/clock.js';
import { pythonJson, rawText, type PythonObject, type ReceivedObject } from './python-json.js';
import { unixSeconds } from './time.js';

/**
 * How what is posted to a broker is signed. The body carries `timestamp`, in Unix seconds, and `signature`: the
 * HMAC-SHA256, under the key all share, of the body without `signature` in Python's text. Ours also carries a `nonce`,
 * which the broker remembers; old clients have none, and what they say may be said again within the window.
 */

/** How far a timestamp may be from the broker's time, in seconds. */
export const SIGNATURE_WINDOW_S = 300;
/** How long a nonce is remembered, in seconds: what is ahead of our time by a window grows stale after two. */
const NONCE_LIFE_S = 2 * SIGNATURE_WINDOW_S;
/** The most nonces remembered. */
const MAX_NONCES = 100_000;
const NONCE_BYTES = 16;
const NONCE = /^[A-Za-z0-9_-]{16,128}$/;
const SIGNATURE = /^[0-9a-f]{64}$/i;

/** A nonce nobody has used. */
export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('hex');
}

/** The text of a body with what the protocol adds. @throws PythonJsonError for what cannot be signed */
export function signBody(body: PythonObject, authKey: string, now: Date, nonce = newNonce()): string {
  const unsigned = { ...body, timestamp: unixSeconds(now), nonce };
  return pythonJson({ ...unsigned, signature: signatureOf(unsigned, authKey).toString('hex') });
}

function signatureOf(unsigned: PythonObject, authKey: string): Buffer {
  return createHmac('sha256', authKey).update(pythonJson(unsigned)).digest();
}

/**
 * The broker's time, told to one whose clock is off: there may be nobody else to ask. It is signed with the nonce of what
 * was refused, so that nobody else can set a clock by it, nor by an old one.
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

/** The time a broker tells, in Unix seconds; `undefined` unless it is signed for this nonce. */
export function readTime({ time, nonce, signature }: SignedTime, authKey: string, sent: string): number | undefined {
  const isSigned = nonce === sent && isEqual(signature, signatureOf({ time, nonce }, authKey));
  return isSigned ? time : undefined;
}

function isEqual(signature: string, expected: Buffer): boolean {
  return SIGNATURE.test(signature) && timingSafeEqual(Buffer.from(signature, 'hex'), expected);
}

/** Why a body is not accepted. */
export interface SignatureProblem {
  readonly status: 401 | 503;
  readonly code: 'BAD_SIGNATURE' | 'STALE_TIMESTAMP' | 'REPLAYED' | 'TOO_MANY_NONCES';
  readonly message: string;
  /** With STALE_TIMESTAMP, where there was a nonce. */
  readonly clock?: SignedTime;
}

/** Tells what was signed under the key, lately and for the first time, from the rest. */
export class SignatureVerifier {
  readonly #authKey: string;
  readonly #clock: Clock;
  readonly #maxNonces: number;
  /** Until when each is remembered, in Unix seconds; the oldest first. */
  readonly #nonces = new Map<string, number>();

  constructor(authKey: string, clock: Clock, maxNonces = MAX_NONCES) {
    this.#authKey = authKey;
    this.#clock = clock;
    this.#maxNonces = maxNonces;
  }

  /** Says what is wrong with a body; `undefined` for one that is to be believed, and not a second time. */
  verify(body: ReceivedObject): SignatureProblem | undefined {
    const { signature, ...unsigned } = body;
    // First of all: only who has the key learns more, such as our time.
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
    const was = given === undefined ? 'is missing or no number' : `is ${given}`;
    const time = Math.floor(now);
    const message = `\`timestamp\` ${was}; here it is ${time}, and ${SIGNATURE_WINDOW_S} s either way are accepted. Set the clock.`;
    const clock = typeof nonce === 'string' && NONCE.test(nonce) && { clock: signTime(time, nonce, this.#authKey) };
    return { status: 401, code: 'STALE_TIMESTAMP', message, ...clock };
  }

  #remember(nonce: string, now: number): SignatureProblem | undefined {
    for (const [known, until] of this.#nonces) {
      if (until >= now) break;
      this.#nonces.delete(known);
    }
    if (this.#nonces.has(nonce)) return REPLAYED;
    // To forget one instead would let it be replayed.
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
  message: '`nonce` must be text of 16–128 letters, digits, _ or -, a new one each time; old clients leave it out.',
};
const REPLAYED: SignatureProblem = {
  status: 401,
  code: 'REPLAYED',
  message: 'This body was here before: sign each one anew, with a new `nonce`.',
};
const TOO_MANY_NONCES: SignatureProblem = {
  status: 503,
  code: 'TOO_MANY_NONCES',
  message: `More came within ${NONCE_LIFE_S} s than this broker can tell from replays; try again later.`,
};
