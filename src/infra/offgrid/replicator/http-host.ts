import { encode } from '@ipld/dag-cbor';
import { z } from 'zod';
import type { Clock } from '../../clock.js';
import { fingerprintOf, publicKeyOf } from '../../crypto/signing.js';
import {
  authHeaders,
  clockSignature,
  DATE_HEADER,
  NONCE_HEADER,
  sameSignature,
  SIGNATURE_HEADER,
} from '../wire/auth.js';
import { decodeCborSequence } from '../wire/cbor.js';
import type { Claim } from '../wire/claim.js';
import { signedHeadSchema, type SignedHead } from '../wire/head.js';
import { HostError, type HostErrorCode, type HostKey, type HostPort, type ReturnedEvent } from './host-port.js';
import { readAtMost } from './read-at-most.js';

/** How long a request may take, in milliseconds, */
const TIMEOUT_MS = 10_000;
/** and what its bytes may take on top of that: links of 4 KiB a second still work. */
const MIN_BYTES_PER_MS = 4.096;
/** The most bytes of an answer. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** The longest that a host may ask to be left alone, in milliseconds. */
const MAX_RETRY_AFTER_MS = 300_000;

const keySchema = z.object({ ed25519_verify_key: z.string().max(64) });
const sequence = z.number().int().min(0);
const rootSchema = z.object({ sequence, root: z.string().regex(/^[0-9a-f]{64}$/) });
const eventSchema = z.strictObject({
  sequence: z.number().int().min(1),
  etype: z.number().int(),
  ts: z.number().int(),
  sealed: z.instanceof(Uint8Array),
});
const short = z.string().max(128);
const grantSchema = z.object({ epoch: z.number().int(), writer: short, challenge: short, signature: short });
const refusalSchema = z.object({
  error: z.object({ code: z.string().max(64), message: z.string() }),
  head: sequence.exactOptional(),
  sequence: sequence.exactOptional(),
  granted: grantSchema.exactOptional(),
});
const CODES: ReadonlySet<string> = new Set<HostErrorCode>([
  'BAD_REQUEST',
  'UNAUTHENTICATED',
  'NOT_SIGNED',
  'FENCED',
  'NOT_FOUND',
  'GAP',
  'FORKED',
  'NOT_CLAIMED',
  'TOO_LARGE',
  'DAMAGED',
  'BUSY',
  'FULL',
  'INTERNAL',
]);

/** A request, and what is known of its answer beforehand. */
interface Asked {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: Uint8Array;
  /** Bytes of the answer, about. */
  readonly answerBytes?: number;
}

/** A host over HTTP. The clocks of the two sides may differ: it keeps to the host's. */
export class HttpHost implements HostPort {
  readonly url: string;
  readonly #authKey: string;
  readonly #clock: Clock;
  #host: string | undefined;
  /** What the host's clock is ahead, in milliseconds. */
  #offsetMs = 0;

  /** @param host its fingerprint, when that is known */
  constructor(url: string, authKey: string, clock: Clock, host?: string) {
    this.url = url.replace(/\/+$/, '');
    this.#authKey = authKey;
    this.#clock = clock;
    this.#host = host;
  }

  async key(): Promise<HostKey> {
    const answer = await this.#send({ method: 'GET', path: '/pubkeys' }, {});
    const { ed25519_verify_key: verifyKey } = this.#parse(keySchema, jsonOf(await this.#answerOf(answer)));
    if (publicKeyOf(verifyKey) === undefined) throw this.#nonsense('its verify key is none');
    this.#host = fingerprintOf(verifyKey);
    return { host: this.#host, verifyKey };
  }

  claim(origin: string, claim: Claim): Promise<SignedHead> {
    return this.#headOf({ method: 'POST', path: `/replica/${origin}/claim`, body: encode(claim) });
  }

  ship(origin: string, batch: Uint8Array): Promise<SignedHead> {
    return this.#headOf({ method: 'POST', path: `/replica/${origin}/events`, body: batch });
  }

  head(origin: string, challenge: string): Promise<SignedHead> {
    return this.#headOf({ method: 'GET', path: `/replica/${origin}/head?challenge=${encodeURIComponent(challenge)}` });
  }

  async rootAt(origin: string, sequence: number): Promise<string> {
    const body = await this.#ask({ method: 'GET', path: `/replica/${origin}/head?at=${sequence}` });
    const answer = this.#parse(rootSchema, jsonOf(body));
    if (answer.sequence !== sequence) throw this.#nonsense(`it was asked for the root at ${sequence}`);
    return answer.root;
  }

  async events(origin: string, after: number, limit: number): Promise<readonly ReturnedEvent[]> {
    const path = `/replica/${origin}/events?after=${after}&limit=${limit}`;
    const body = await this.#ask({ method: 'GET', path, answerBytes: MAX_ANSWER_BYTES });
    try {
      return [...decodeCborSequence(body)].map((event) => eventSchema.parse(event));
    } catch (error) {
      throw this.#nonsense('its events are none', error);
    }
  }

  async #headOf(asked: Asked): Promise<SignedHead> {
    return this.#parse(signedHeadSchema, jsonOf(await this.#ask(asked)));
  }

  /** Sends an authenticated request, again when the host shows that only the clocks differ. */
  async #ask(asked: Asked): Promise<Uint8Array> {
    for (let isAgain = false; ; isAgain = true) {
      const host = this.#host ?? (await this.key()).host;
      const request = { host, method: asked.method, path: asked.path, body: asked.body ?? new Uint8Array() };
      const headers = authHeaders(this.#authKey, request, this.#clock.now().getTime() + this.#offsetMs);
      const answer = await this.#send(asked, headers);
      if (answer.status === 401 && !isAgain && this.#learnsClock(host, headers, answer)) {
        await answer.body?.cancel();
        continue;
      }
      return this.#answerOf(answer);
    }
  }

  #learnsClock(host: string, sent: Readonly<Record<string, string>>, answer: Response): boolean {
    const [date, proof] = [answer.headers.get(DATE_HEADER), answer.headers.get(SIGNATURE_HEADER)];
    const nonce = sent[NONCE_HEADER];
    if (date === null || proof === null || nonce === undefined || !/^\d{1,12}$/.test(date)) return false;
    if (!sameSignature(clockSignature(this.#authKey, host, nonce, date), proof)) return false;
    this.#offsetMs = Number(date) * 1000 - this.#clock.now().getTime();
    return true;
  }

  async #send({ method, path, body, answerBytes = 0 }: Asked, headers: Record<string, string>): Promise<Response> {
    const bytes = (body?.byteLength ?? 0) + answerBytes;
    try {
      return await fetch(`${this.url}${path}`, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/cbor' }) },
        ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
        redirect: 'error',
        signal: AbortSignal.timeout(Math.ceil(TIMEOUT_MS + bytes / MIN_BYTES_PER_MS)),
      });
    } catch (error) {
      throw this.#networkError(error);
    }
  }

  async #answerOf(answer: Response): Promise<Uint8Array> {
    let body: Uint8Array | undefined;
    try {
      body = await readAtMost(answer, MAX_ANSWER_BYTES);
    } catch (error) {
      throw this.#networkError(error);
    }
    if (body === undefined) throw this.#nonsense(`it answers with more than ${MAX_ANSWER_BYTES} bytes`);
    if (answer.ok) return body;
    throw this.#refusal(answer, body);
  }

  #refusal(answer: Response, body: Uint8Array): HostError {
    const parsed = refusalSchema.safeParse(jsonOf(body));
    if (!parsed.success) return new HostError('INTERNAL', `${this.url} answers ${answer.status}.`);
    const { error, ...details } = parsed.data;
    const code = CODES.has(error.code) ? (error.code as HostErrorCode) : 'INTERNAL';
    const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
    const retryAfterMs = seconds >= 0 ? Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) : undefined;
    return new HostError(code, `${this.url}: ${error.message.slice(0, 500)}`, details, { retryAfterMs });
  }

  #parse<V>(schema: z.ZodType<V>, value: unknown): V {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw this.#nonsense(parsed.error.issues[0]?.message ?? 'it is malformed');
  }

  #nonsense(what: string, cause?: unknown): HostError {
    return new HostError('NONSENSE', `${this.url} answers what no host would: ${what}.`, {}, { cause });
  }

  #networkError(error: unknown): HostError {
    if (error instanceof Error && error.name === 'TimeoutError')
      return new HostError('TIMEOUT', `${this.url} takes too long to answer.`, {}, { cause: error });
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new HostError('UNREACHABLE', `${this.url} cannot be reached (${reason}).`, {}, { cause: error });
  }
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
  } catch {
    return undefined;
  }
}
