import { randomBytes } from 'node:crypto';
import { parseJson } from '../../../domain/json.js';
import { toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { fingerprintOf } from '../../crypto/signing.js';
import type { Clock } from '../../platform/clock.js';
import { LinkedSignal } from '../../platform/linked-signal.js';
import {
  decodeDamaged,
  decodeEntries,
  decodeRoots,
  MAX_DAMAGED_BYTES,
  MAX_ROOTS_BYTES,
  type Damaged,
  type Roots,
} from './answers.js';
import {
  ANSWER_HEADER,
  clockSignature,
  DATE_HEADER,
  hostKeyOf,
  isAnswerSignature,
  MAX_SKEW_SECONDS,
  requestHeaders,
  sameSignature,
  SIGNATURE_HEADER,
  type HostKey,
} from './authentication.js';
import { encodeClaimBody, type ClaimBody } from './claim-body.js';
import type { NumberedEvent } from './event.js';
import { decodeStoredEvents, type StoredEvent } from './events-answer.js';
import { MAX_BODY_BYTES, MAX_SHORT_BODY_BYTES, type Fingerprint, type Origin, type Sequence } from './fields.js';
import { decodeHeadAnswer } from './head.js';
import { HostFailure, type HeadAnswer, type HostClient, type HostKeys } from './host-client.js';
import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.js';
import { decodeMendAnswer, encodeMend } from './mend.js';
import { ProtocolError } from './protocol-error.js';
import type { DamagedQuery, EntriesQuery, EventsQuery } from './queries.js';
import { decodeRefusal, REFUSAL_STATUS } from './refusal.js';
import { isVerifyKey } from './verify-key.js';

/** The protocol version of this client. */
const PROTOCOL = 2;
const CHALLENGE_BYTES = 32;
const CLAIM_CHALLENGE_BYTES = 16;
const NONCE_BYTES = 16;
const NOTHING = new Uint8Array();

/** The options of an HttpHostClient. */
export interface HttpHostClientOptions {
  readonly url: string;
  readonly exchange: Pick<HttpExchange, 'send'>;
  /** OFFGRID_AUTH_KEY, from which the key of each host is derived. */
  readonly authKey: string;
  readonly clock: Clock;
  /** The fingerprint of the host, if known; by default, that of the host that answers first at the URL. */
  readonly host?: Fingerprint;
  /** The source of challenges and nonces. @param length in bytes */
  readonly randomBytes?: (length: number) => Uint8Array;
  /** Cancels all requests. */
  readonly signal?: AbortSignal;
}

interface Asked<A> {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: Uint8Array;
  readonly maxBytes: number;
  /** Cancels this request. */
  readonly signal?: AbortSignal | undefined;
  /** @throws ProtocolError */
  readonly decode: (body: Uint8Array) => A;
}

/** A host over HTTP. The clocks of the two sides may differ: the client dates its requests by the host's clock. */
export class HttpHostClient implements HostClient {
  readonly url: string;
  readonly #options: HttpHostClientOptions;
  readonly #randomBytes: (length: number) => Uint8Array;
  #known: { readonly host: Fingerprint; readonly key: HostKey } | undefined;
  /** How far the host's clock is ahead of this one, in seconds. */
  #ahead = 0;

  constructor(options: HttpHostClientOptions) {
    this.url = options.url;
    this.#options = options;
    this.#randomBytes = options.randomBytes ?? randomBytes;
    if (options.host !== undefined) this.#knows(options.host);
  }

  async keys(): Promise<HostKeys> {
    const path = '/pubkeys';
    const request = { method: 'GET', path, headers: {}, body: NOTHING, maxAnswerBytes: MAX_SHORT_BODY_BYTES } as const;
    const { status, body } = await this.#send(() => request);
    const keys = status === 200 ? parseJson(Buffer.from(body).toString()) : undefined;
    if (typeof keys !== 'object' || keys === null || !('ed25519_verify_key' in keys))
      throw this.#failure('NONSENSE', `the answer to ${path} does not contain the key of a host. Check the URL`);
    const { ed25519_verify_key: text } = keys;
    if (!('protocol' in keys) || keys.protocol !== PROTOCOL)
      throw this.#failure(
        'OUTDATED',
        `the host does not use protocol ${PROTOCOL}. Run the same build on the host and the core; a host of protocol 1 starts again in an empty folder`,
      );
    const verifyKey = new Uint8Array(Buffer.from(String(text), 'base64'));
    if (!isVerifyKey(verifyKey)) throw this.#failure('NONSENSE', 'the host sent an invalid verify key');
    const host = fingerprintOf(Buffer.from(verifyKey).toString('base64'));
    this.#knows(this.#options.host ?? host);
    return { host, verifyKey };
  }

  claim(origin: Origin, claim: Omit<ClaimBody, 'challenge'>): Promise<HeadAnswer> {
    const challenge = this.#randomBytes(CLAIM_CHALLENGE_BYTES);
    return this.#post(origin, 'claim', encodeClaimBody({ ...claim, challenge }));
  }

  ship(origin: Origin, batch: Uint8Array): Promise<HeadAnswer> {
    return this.#post(origin, 'events', batch);
  }

  async head(origin: Origin): Promise<HeadAnswer> {
    const request = this.#randomBytes(CHALLENGE_BYTES);
    const path = `head?challenge=${toHex(request)}`;
    const asked = { maxBytes: MAX_SHORT_BODY_BYTES, decode: decodeHeadAnswer };
    return { head: await this.#get(origin, path, asked), request };
  }

  roots(origin: Origin, at: Sequence, signal?: AbortSignal): Promise<Roots> {
    return this.#get(origin, `roots?at=${at}`, { maxBytes: MAX_ROOTS_BYTES, decode: decodeRoots, signal });
  }

  entries(origin: Origin, { of, after, limit }: EntriesQuery, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    const path = `entries?of=${of}&after=${after}&limit=${limit}`;
    return this.#get(origin, path, { maxBytes: MAX_BODY_BYTES, decode: decodeEntries, signal });
  }

  events(origin: Origin, query: EventsQuery, signal?: AbortSignal): Promise<readonly StoredEvent[]> {
    const { of, after, limit, bytes } = query;
    const path = `events?of=${of}&after=${after}&limit=${limit}&bytes=${bytes}`;
    return this.#get(origin, path, { maxBytes: MAX_BODY_BYTES, decode: decodeStoredEvents, signal });
  }

  damaged(origin: Origin, { after, limit }: DamagedQuery): Promise<Damaged> {
    const path = `damaged?after=${after}&limit=${limit}`;
    return this.#get(origin, path, { maxBytes: MAX_DAMAGED_BYTES, decode: decodeDamaged });
  }

  async mend(origin: Origin, events: readonly NumberedEvent[]): Promise<number> {
    const path = pathOf(origin, 'mend');
    const maxBytes = MAX_SHORT_BODY_BYTES;
    const body = encodeMend({ events });
    return (await this.#ask({ method: 'POST', path, body, maxBytes, decode: decodeMendAnswer })).mended;
  }

  async #post(origin: Origin, name: string, body: Uint8Array): Promise<HeadAnswer> {
    const [path, maxBytes] = [pathOf(origin, name), MAX_SHORT_BODY_BYTES];
    const head = await this.#ask({ method: 'POST', path, body, maxBytes, decode: decodeHeadAnswer });
    return { head, request: hashOf(body) };
  }

  #get<A>(origin: Origin, path: string, asked: Pick<Asked<A>, 'maxBytes' | 'decode' | 'signal'>): Promise<A> {
    return this.#ask({ method: 'GET', path: pathOf(origin, path), ...asked });
  }

  async #ask<A>(asked: Asked<A>): Promise<A> {
    if (this.#known === undefined) await this.keys();
    const answer = (await this.#exchange(asked)) ?? (await this.#exchange(asked));
    if (answer === undefined)
      throw this.#failure('UNAUTHENTICATED', 'the clocks of the host and the core are too far apart. Set both clocks');
    try {
      if (answer.status === 200) return asked.decode(answer.body);
      const refusal = decodeRefusal(answer.body);
      if (REFUSAL_STATUS[refusal.code] !== answer.status)
        throw new ProtocolError('MALFORMED', `the refusal ${refusal.code} has the wrong HTTP status ${answer.status}`);
      throw new HostFailure(refusal.code, `${this.url}: ${refusal.message}`, { refusal });
    } catch (error) {
      if (error instanceof ProtocolError) throw this.#failure('NONSENSE', error.message, error);
      throw error;
    }
  }

  /** The host's answer; undefined when the host's clock differs, in which case later requests are dated by that clock. */
  async #exchange({ method, path, body = NOTHING, maxBytes, signal }: Asked<unknown>): Promise<HttpAnswer | undefined> {
    const { clock } = this.#options;
    const { host, key } = this.#known ?? this.#unknown();
    const bodyHash = toHex(hashOf(body));
    const maxAnswerBytes = Math.max(maxBytes, MAX_SHORT_BODY_BYTES);
    let nonce = '';
    const make = () => {
      nonce = toHex(this.#randomBytes(NONCE_BYTES));
      const date = String(Math.floor(clock.now().getTime() / 1_000) + this.#ahead);
      const headers = requestHeaders(key, { host, method, path, date, nonce, bodyHash });
      return { method, path, headers, body, maxAnswerBytes };
    };
    const answer = await this.#send(make, signal);
    if (this.#isOtherTime(answer, nonce)) return undefined;
    const signature = answer.headers[ANSWER_HEADER];
    const lines = { host, nonce, status: answer.status, body: answer.body };
    if (typeof signature !== 'string' || !isAnswerSignature(key, lines, signature))
      throw this.#failure(
        'UNREACHABLE',
        `what answers there (HTTP ${answer.status}) is not host ${host}, or has another OFFGRID_AUTH_KEY. Check URL and key`,
      );
    return answer;
  }

  /** Whether an answer proves that the host's clock differs from the one that requests are dated by; adopts it if so. */
  #isOtherTime({ status, headers }: HttpAnswer, nonce: string): boolean {
    const [date, proof] = [headers[DATE_HEADER], headers[SIGNATURE_HEADER]];
    if (status !== REFUSAL_STATUS.UNAUTHENTICATED || typeof date !== 'string' || typeof proof !== 'string')
      return false;
    const { host, key } = this.#known ?? this.#unknown();
    if (!/^\d{1,15}$/.test(date) || !sameSignature(clockSignature(key, host, nonce, date), proof)) return false;
    const own = Math.floor(this.#options.clock.now().getTime() / 1_000);
    // The request had an acceptable date by this clock, so adopting the clock would change nothing.
    if (Math.abs(own + this.#ahead - Number(date)) <= MAX_SKEW_SECONDS) return false;
    this.#ahead = Number(date) - own;
    return true;
  }

  /** Sends a request, which is cancelled by the signal of the client or by the given one. */
  async #send(make: () => HttpRequest, given?: AbortSignal): Promise<HttpAnswer> {
    const { exchange, signal } = this.#options;
    const ended = new LinkedSignal(...[signal, given].filter((one) => one !== undefined));
    try {
      return await exchange.send(() => ({ ...make(), signal: ended.signal }));
    } catch (error) {
      if (error instanceof HostFailure)
        throw new HostFailure(error.code, `${this.url}: ${error.message}`, { cause: error });
      if (given?.aborted === true || signal?.aborted === true)
        throw this.#failure('UNREACHABLE', 'the request was cancelled', error);
      throw error;
    } finally {
      ended.unlink();
    }
  }

  #knows(host: Fingerprint): void {
    this.#known = { host, key: hostKeyOf(this.#options.authKey, host) };
  }

  #unknown(): never {
    throw this.#failure('UNREACHABLE', 'the host at this URL is not known yet');
  }

  #failure(code: HostFailure['code'], why: string, cause?: unknown): HostFailure {
    return new HostFailure(code, `${this.url}: ${why}.`, { cause });
  }
}

const hashes = new WeakMap<Uint8Array, Uint8Array>();

/** SHA-256 of a request body, computed once: a batch is sent to every host, and each answer names the same hash. */
function hashOf(body: Uint8Array): Uint8Array {
  const hash = hashes.get(body) ?? sha256(body);
  hashes.set(body, hash);
  return hash;
}

function pathOf(origin: Origin, rest: string): string {
  return `/replica/${encodeURIComponent(origin)}/${rest}`;
}
