import { z } from 'zod';
import type { Clock } from '../../platform/clock.js';
import { PythonJsonError, type PythonJson, type PythonObject } from './python-json.js';
import { newNonce, readTime, signBody } from './signature.js';
import { unixSeconds } from './time.js';

/** How long a broker is waited for, in milliseconds. */
const BROKER_TIMEOUT_MS = 5_000;
/** The largest answer read, in bytes: a thousand hosts with all they may say. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** How much of what a broker said in refusing is passed on, in characters. */
const MAX_SAID_LENGTH = 300;

/** Why a broker did not do what it was asked. */
export type BrokerErrorCode =
  /** What was to be sent is not of whole numbers, or nested too deeply. */
  | 'UNSENDABLE'
  | 'UNREACHABLE'
  | 'TIMEOUT'
  /** Another key, a clock that is off, or a replay. */
  | 'UNAUTHORIZED'
  | 'NOT_FOUND'
  | 'REFUSED'
  /** It answered, but nothing that could be understood: perhaps it is no broker. */
  | 'BAD_ANSWER';

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

export type BrokerStatus = z.infer<typeof statusAnswer>;
export type BrokerRecord = z.infer<typeof record>;
export type BrokerPolicy = z.infer<typeof policyAnswer>;
export type BrokerAck = z.infer<typeof ackAnswer>;
export type BrokerHost = z.infer<typeof host>;

export interface BrokerClientOptions {
  /** Where the broker is: `http://host:port`. */
  readonly url: string;
  readonly authKey: string;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Talks to a broker, ours or an old one. An old one ignores the nonce of what it is sent, and knows no hosts: then
 * `announce` and `hosts` say so, and all else works. Everything may throw BrokerError; nothing is
 * tried again, save what was refused for the clock alone.
 */
export class BrokerClient {
  readonly #url: string;
  readonly #authKey: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** How far the broker's time is from ours, in milliseconds, once it has told. */
  #offsetMs = 0;

  constructor({ url, authKey, clock, timeoutMs = BROKER_TIMEOUT_MS }: BrokerClientOptions) {
    this.#url = url.replace(/\/+$/, '');
    this.#authKey = authKey;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  status(): Promise<BrokerStatus> {
    return this.#get('/status', statusAnswer);
  }

  /** What acks of a kind count. */
  policy(kind: string): Promise<BrokerPolicy> {
    return this.#get(`/quorum/policy?kind=${encodeURIComponent(kind)}`, policyAnswer);
  }

  /** Makes a record, or gets the one that is there. Numbers, in `meta` too, must be whole. */
  create(quorum: { id: string; kind: string; required: number; meta: PythonJson }): Promise<BrokerRecord> {
    const { id, kind, required, meta } = quorum;
    return this.#post('/quorum/create', { id, kind, required, meta }, record);
  }

  /** Says that a node keeps what a record is of. @throws BrokerError NOT_FOUND when there is no such record */
  ack({ id, kind, nodeId }: { id: string; kind: string; nodeId: string }): Promise<BrokerAck> {
    return this.#post('/quorum/ack', { id, kind, node_id: nodeId }, ackAnswer);
  }

  /** Sends a host's heartbeat; `false` when the broker is one that knows no hosts. Prices must be whole numbers. */
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

  /** The hosts that announced themselves; `undefined` when the broker is one that knows no hosts. */
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

  /** Goes by the broker's time from now on, where that is why it refused: off the grid nobody else tells the time. */
  #setClock({ status, text }: Answer, nonce: string): boolean {
    const told = status === 401 ? signedTime.safeParse(parseJson(text)) : undefined;
    if (told?.success !== true) return false;
    const time = readTime(told.data, this.#authKey, nonce);
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
      throw new BrokerError('UNSENDABLE', `This cannot be sent to a broker: ${error.message}.`, error);
    }
  }

  #read<V>(path: string, { status, text }: Answer, schema: z.ZodType<V>): V {
    if (status < 200 || status > 299) throw this.#refusal(path, status, text);
    const answer = parseJson(text);
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    if (notOk.safeParse(answer).success) throw new BrokerError('REFUSED', this.#said(path, 'refused', text));
    throw new BrokerError('BAD_ANSWER', this.#said(path, 'gave no answer of a broker', text), parsed.error);
  }

  async #fetch(path: string, init: RequestInit): Promise<Answer> {
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      const response = await fetch(`${this.#url}${path}`, { ...init, redirect: 'error', signal });
      return { status: response.status, text: await this.#textOf(path, response) };
    } catch (error) {
      if (error instanceof BrokerError) throw error;
      if (error instanceof Error && error.name === 'TimeoutError') {
        const message = `The broker at ${this.#url} did not answer ${path} within ${this.#timeoutMs} ms.`;
        throw new BrokerError('TIMEOUT', message, error);
      }
      throw new BrokerError('UNREACHABLE', `The broker at ${this.#url} cannot be reached: ${reasonOf(error)}.`, error);
    }
  }

  async #textOf(path: string, response: Response): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const body = response.body as AsyncIterable<Uint8Array> | null;
    for await (const chunk of body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MAX_ANSWER_BYTES) {
        const message = `The broker at ${this.#url} answers ${path} with more than ${MAX_ANSWER_BYTES} bytes.`;
        throw new BrokerError('BAD_ANSWER', message);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #refusal(path: string, status: number, text: string): BrokerError {
    const codes: Partial<Record<number, BrokerErrorCode>> = { 401: 'UNAUTHORIZED', 404: 'NOT_FOUND' };
    return new BrokerError(codes[status] ?? 'REFUSED', this.#said(path, `answered ${status}`, text));
  }

  #said(path: string, what: string, text: string): string {
    return `The broker at ${this.#url} ${what} to ${path}: ${messageIn(text).slice(0, MAX_SAID_LENGTH)}`;
  }
}

/** An old broker has no such path. */
function whenUnknown(error: unknown): undefined {
  if (!(error instanceof BrokerError) || error.code !== 'NOT_FOUND') throw error;
}

/** How an old broker may refuse with a status of 200. */
const notOk = z.object({ ok: z.literal(false) });
const refusalBody = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });

/** What an error says, in our form or in the old one, or the text itself. */
function messageIn(text: string): string {
  const parsed = refusalBody.safeParse(parseJson(text));
  if (!parsed.success) return text === '' ? 'nothing more was said' : text;
  const { error } = parsed.data;
  return typeof error === 'string' ? error : error.message;
}

/** `undefined` for what is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What `fetch` hides behind "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message;
}
