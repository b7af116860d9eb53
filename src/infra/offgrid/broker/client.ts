import { z } from 'zod';
import { parseJson } from '../../../domain/json.js';
import { fetchText, TooLargeError } from '../../http-kit/bounded-fetch.js';
import type { Clock } from '../../platform/clock.js';
import { PythonJsonError, type PythonJson, type PythonObject } from './python-json.js';
import { newNonce, readTime, signBody } from './signature.js';
import { unixSeconds } from './time.js';

/** The default time limit for an answer, in milliseconds. */
const BROKER_TIMEOUT_MS = 5_000;
/** The maximum size of an answer, in bytes: enough for a thousand hosts with fields of maximum size. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** The maximum length of a broker's own message in an error, in characters. */
const MAX_SAID_LENGTH = 300;

/** Why a request to a broker failed. */
export type BrokerErrorCode =
  /** The body has numbers that are not whole, or is nested too deeply. */
  | 'UNSENDABLE'
  | 'UNREACHABLE'
  | 'TIMEOUT'
  /** The key or the clock is wrong, or the request is a replay. */
  | 'UNAUTHORIZED'
  | 'NOT_FOUND'
  | 'REFUSED'
  /** The answer is not one of a broker: the server may be something else. */
  | 'BAD_ANSWER';

/** A request to a broker failed. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const ack = z.object({ id: z.string(), ts: z.number(), w: z.number() });
const record = z.object({
  id: z.string(),
  kind: z.string(),
  required: z.number(),
  acks: z.array(ack),
  finalized: z.boolean(),
  meta: z.unknown(),
  ts: z.number(),
});
const ackAnswer = z
  .object({ ok: z.literal(true), finalized: z.boolean(), sum_w: z.number(), required: z.number() })
  .transform(({ finalized, sum_w: sumW, required }) => ({ finalized, sumW, required }));
const policyAnswer = z
  .object({
    weight_default: z.number().default(1),
    weights: z.record(z.string(), z.number()).default({}),
    decay_half_life_s: z.number().default(0),
    max_age_s: z.number().default(0),
  })
  .transform((policy) => ({
    weightDefault: policy.weight_default,
    weights: policy.weights,
    decayHalfLifeS: policy.decay_half_life_s,
    maxAgeS: policy.max_age_s,
  }));
const announceAnswer = z.object({ ok: z.literal(true) });
const signedTime = z.object({ time: z.int(), nonce: z.string(), signature: z.string() });
const statusAnswer = z.object({ status: z.string(), service: z.string(), version: z.string() });
const host = z
  .object({
    node_id: z.string(),
    url: z.string(),
    state: z.enum(['active', 'lost']),
    score: z.number(),
    last_seen: z.number(),
    free_bytes: z.number(),
    prices: z.record(z.string(), z.unknown()),
  })
  .transform(({ node_id: nodeId, last_seen: lastSeen, free_bytes: freeBytes, ...rest }) => ({
    nodeId,
    ...rest,
    lastSeen,
    freeBytes,
  }));

/** The answer to `/status`. */
export type BrokerStatus = z.infer<typeof statusAnswer>;
/** A quorum record. Times are Unix seconds. */
export type BrokerRecord = z.infer<typeof record>;
/** The answer to `/quorum/policy`; half-life and maximum age in seconds, 0 for none. */
export type BrokerPolicy = z.infer<typeof policyAnswer>;
/** The answer to an ack: whether the record is final, and the sum of weights that it has and requires. */
export type BrokerAck = z.infer<typeof ackAnswer>;
/** A host that the broker knows: score 0–1, `lastSeen` in Unix seconds. */
export type BrokerHost = z.infer<typeof host>;

/** The options of a BrokerClient. */
export interface BrokerClientOptions {
  /** The URL of the broker: `http://host:port`. */
  readonly url: string;
  /** OFFGRID_AUTH_KEY. */
  readonly authKey: string;
  readonly clock: Clock;
  /** The time limit for an answer, in milliseconds; by default 5,000. */
  readonly timeoutMs?: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * A client of a broker, current or old. An old broker ignores nonces and does not know hosts, which `announce` and `hosts`
 * report; the other methods work the same. Every method may throw BrokerError. A request is repeated only if it was refused
 * because of the clock.
 */
export class BrokerClient {
  readonly #url: string;
  readonly #authKey: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** The difference between the broker's clock and this one, in milliseconds; 0 until the broker has stated its time. */
  #offsetMs = 0;

  constructor({ url, authKey, clock, timeoutMs = BROKER_TIMEOUT_MS }: BrokerClientOptions) {
    this.#url = url.replace(/\/+$/, '');
    this.#authKey = authKey;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** The name and version of the broker. */
  status(): Promise<BrokerStatus> {
    return this.#get('/status', statusAnswer);
  }

  /** The policy by which acks of a kind are weighted. */
  policy(kind: string): Promise<BrokerPolicy> {
    return this.#get(`/quorum/policy?kind=${encodeURIComponent(kind)}`, policyAnswer);
  }

  /** Creates a record, or returns the existing one. All numbers must be whole, in `meta` too. */
  create(quorum: { id: string; kind: string; required: number; meta: PythonJson }): Promise<BrokerRecord> {
    const { id, kind, required, meta } = quorum;
    return this.#post('/quorum/create', { id, kind, required, meta }, record);
  }

  /** Acknowledges that a node keeps the events of a record. @throws BrokerError NOT_FOUND when the record does not exist */
  ack({ id, kind, nodeId }: { id: string; kind: string; nodeId: string }): Promise<BrokerAck> {
    return this.#post('/quorum/ack', { id, kind, node_id: nodeId }, ackAnswer);
  }

  /** Sends a host's heartbeat; `false` when the broker is an old one that does not know hosts. Prices must be whole numbers. */
  async announce(heartbeat: {
    nodeId: string;
    url: string;
    prices: PythonObject;
    freeBytes: number;
  }): Promise<boolean> {
    const { nodeId, url, prices, freeBytes } = heartbeat;
    const body = { node_id: nodeId, url, prices, free_bytes: freeBytes };
    const answer = await this.#post('/announce', body, announceAnswer).catch(whenUnknown);
    return answer !== undefined;
  }

  /** The hosts that announced themselves; `undefined` when the broker is an old one that does not know hosts. */
  hosts(): Promise<BrokerHost[] | undefined> {
    return this.#get('/hosts', z.array(host)).catch(whenUnknown);
  }

  async #get<V>(path: string, schema: z.ZodType<V>): Promise<V> {
    return this.#read(path, await this.#fetch(path, { method: 'GET' }), schema);
  }

  async #post<V>(path: string, body: PythonObject, schema: z.ZodType<V>): Promise<V> {
    const nonce = newNonce();
    const answer = await this.#send(path, body, nonce);
    return this.#read(path, this.#setClock(answer, nonce) ? await this.#send(path, body, newNonce()) : answer, schema);
  }

  #send(path: string, body: PythonObject, nonce: string): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    return this.#fetch(path, { method: 'POST', headers, body: this.#signed(body, nonce) });
  }

  /** Adopts the broker's time if the broker refused because of the clock: off the grid there may be no other time source. */
  #setClock({ status, text }: Answer, nonce: string): boolean {
    const stated = status === 401 ? signedTime.safeParse(parseJson(text)) : undefined;
    if (stated?.success !== true) return false;
    const time = readTime(stated.data, this.#authKey, nonce);
    if (time === undefined) return false;
    this.#offsetMs = 1_000 * (time - unixSeconds(this.#clock.now()));
    return true;
  }

  #signed(body: PythonObject, nonce: string): string {
    try {
      const now = new Date(this.#clock.now().getTime() + this.#offsetMs);
      return signBody(body, this.#authKey, now, nonce);
    } catch (error) {
      if (!(error instanceof PythonJsonError)) throw error;
      throw new BrokerError('UNSENDABLE', `The request cannot be sent to the broker: ${error.message}.`, error);
    }
  }

  #read<V>(path: string, { status, text }: Answer, schema: z.ZodType<V>): V {
    if (status < 200 || status > 299) throw this.#refusal(path, status, text);
    const answer = parseJson(text);
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    if (notOk.safeParse(answer).success) throw new BrokerError('REFUSED', this.#describe(path, 'refused', text));
    throw new BrokerError(
      'BAD_ANSWER',
      this.#describe(path, "gave an answer that is not a broker's", text),
      parsed.error,
    );
  }

  async #fetch(path: string, init: RequestInit): Promise<Answer> {
    try {
      return await fetchText(`${this.#url}${path}`, init, { timeoutMs: this.#timeoutMs, maxBytes: MAX_ANSWER_BYTES });
    } catch (error) {
      if (error instanceof TooLargeError)
        throw new BrokerError(
          'BAD_ANSWER',
          `The broker at ${this.#url} answers ${path} with more than ${MAX_ANSWER_BYTES} bytes.`,
          error,
        );
      if (error instanceof Error && error.name === 'TimeoutError') {
        const message = `The broker at ${this.#url} did not answer ${path} within ${this.#timeoutMs} ms.`;
        throw new BrokerError('TIMEOUT', message, error);
      }
      throw new BrokerError('UNREACHABLE', `The broker at ${this.#url} cannot be reached: ${reasonOf(error)}.`, error);
    }
  }

  #refusal(path: string, status: number, text: string): BrokerError {
    const codes: Partial<Record<number, BrokerErrorCode>> = { 401: 'UNAUTHORIZED', 404: 'NOT_FOUND' };
    return new BrokerError(codes[status] ?? 'REFUSED', this.#describe(path, `answered ${status}`, text));
  }

  #describe(path: string, what: string, text: string): string {
    return `The broker at ${this.#url} ${what} to ${path}: ${messageIn(text).slice(0, MAX_SAID_LENGTH)}`;
  }
}

/** Undefined for NOT_FOUND: an old broker does not have the path. */
function whenUnknown(error: unknown): undefined {
  if (!(error instanceof BrokerError) || error.code !== 'NOT_FOUND') throw error;
}

/** The body with which an old broker may refuse at status 200. */
const notOk = z.object({ ok: z.literal(false) });
const refusalBody = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });

/** The message in an error body of the current or the old form, or the text itself. */
function messageIn(text: string): string {
  const parsed = refusalBody.safeParse(parseJson(text));
  if (!parsed.success) return text === '' ? 'the answer is empty' : text;
  const { error } = parsed.data;
  return typeof error === 'string' ? error : error.message;
}

/** The innermost cause of an error: `fetch` itself only reports "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message;
}
