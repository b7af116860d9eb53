import { request as requestHttp, Agent as HttpAgent, type IncomingMessage, type ClientRequest } from 'node:http';
import { request as requestHttps, Agent as HttpsAgent } from 'node:https';
import { HostFailure } from './host-client.js';
import { MinimumRate, SLOWEST, type Rate } from './minimum-rate.js';

/** How long a connection may take, in milliseconds. */
const CONNECT_MS = 15_000;
/** How long the first byte of an answer may take, in milliseconds, beside what the request takes to get there, */
const FIRST_BYTE_MS = 30_000;
/** and at the most. */
const MAX_FIRST_BYTE_MS = 300_000;
/** How often it is looked whether an exchange goes on, in milliseconds. */
const LOOK_MS = 1_000;
/** How much of a body is written at a time, in bytes. */
const PIECE_BYTES = 16 * 1024;
/** Connections to one host. */
const MAX_SOCKETS = 4;

/** How patient one is with a host. Nothing has a limit in all: everything must go on. */
export interface Patience extends Rate {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly maxFirstByteMs: number;
  readonly lookMs: number;
}

const PATIENCE: Patience = {
  ...SLOWEST,
  connectMs: CONNECT_MS,
  firstByteMs: FIRST_BYTE_MS,
  maxFirstByteMs: MAX_FIRST_BYTE_MS,
  lookMs: LOOK_MS,
};

/** A request as it is sent. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** The most bytes of the answer that are read. */
  readonly maxAnswerBytes: number;
  readonly signal?: AbortSignal;
}

/** An answer as it came, from whomever. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Uint8Array;
}

/** Exchanges requests for answers with whoever is at a URL, over connections that are kept. */
export class HttpExchange {
  readonly #base: URL;
  readonly #patience: Patience;
  readonly #agent: HttpAgent;

  /** @param url with http or https @throws TypeError when it is none */
  constructor(url: string, patience = PATIENCE) {
    this.#base = new URL(url);
    this.#patience = patience;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.#agent = this.#base.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /**
   * @param make makes the request: anew when a connection that was kept turns out to be closed
   * @throws HostFailure UNREACHABLE, TIMEOUT
   */
  async send(make: () => HttpRequest): Promise<HttpAnswer> {
    for (;;) {
      try {
        return await this.#attempt(make());
      } catch (error) {
        // Each attempt uses up one of a few connections, until one is opened.
        if (!(error instanceof StaleConnectionError)) throw error;
      }
    }
  }

  /** Closes connections that are kept. */
  close(): void {
    this.#agent.destroy();
  }

  #attempt({ method, path, headers, body, maxAnswerBytes, signal }: HttpRequest): Promise<HttpAnswer> {
    const { protocol, hostname, port } = this.#base;
    const send = protocol === 'https:' ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      const sent = send({
        agent: this.#agent,
        ...{ protocol, hostname: hostname.replace(/^\[|\]$/g, ''), port, method, path },
        headers: method === 'POST' ? { ...headers, 'content-length': String(body.byteLength) } : headers,
        ...(signal === undefined ? {} : { signal }),
      });
      const watch = new Watch(sent, body.byteLength, this.#patience);
      const end = (error: unknown) => {
        watch.stop();
        reject(failureOf(error, sent, watch));
      };
      sent.once('error', end);
      sent.once('response', (answer) => {
        readAnswer(answer, maxAnswerBytes, watch).then((whole) => {
          watch.stop();
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: whole });
        }, end);
      });
      writeBody(sent, body, watch);
    });
  }
}

/** Writes a body a piece at a time: only what the connection has taken is known to be on its way. */
function writeBody(sent: ClientRequest, body: Uint8Array, watch: Watch): void {
  if (body.byteLength === 0) {
    sent.end();
    return;
  }
  const piece = body.subarray(0, PIECE_BYTES);
  sent.write(piece, () => {
    watch.taken(piece.byteLength);
    if (!sent.destroyed) writeBody(sent, body.subarray(PIECE_BYTES), watch);
  });
}

/** Ends an exchange that does not go on. */
class Watch {
  readonly #sent: ClientRequest;
  readonly #bodyBytes: number;
  readonly #patience: Patience;
  readonly #begun = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #sending: MinimumRate;
  #reading: MinimumRate | undefined;
  #read = 0;
  #taken = 0;

  constructor(sent: ClientRequest, bodyBytes: number, patience: Patience) {
    this.#sent = sent;
    this.#bodyBytes = bodyBytes;
    this.#patience = patience;
    this.#sending = new MinimumRate(patience);
    this.#timer = setInterval(() => {
      this.#look(performance.now());
    }, patience.lookMs);
  }

  /** Whether anything of an answer has come. */
  get hasAnswer(): boolean {
    return this.#reading !== undefined;
  }

  /** Bytes of an answer have come, or its first line. */
  add(bytes: number): void {
    this.#reading ??= new MinimumRate(this.#patience);
    this.#read += bytes;
  }

  /** The connection has taken bytes of the body. */
  taken(bytes: number): void {
    this.#taken += bytes;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(now: number): void {
    const late = this.#lateness(now);
    if (late !== undefined) this.#sent.destroy(new HostFailure('TIMEOUT', late));
  }

  /** Why it is too late, if it is. */
  #lateness(now: number): string | undefined {
    const { connectMs, firstByteMs, maxFirstByteMs, minBytesPerSecond, windowMs } = this.#patience;
    const { socket } = this.#sent;
    const elapsed = now - this.#begun;
    const rate = `${minBytesPerSecond} bytes a second over ${windowMs / 1_000} s`;
    if (this.#reading !== undefined)
      return this.#reading.isTooSlow(now, this.#read) ? `The answer comes at less than ${rate}.` : undefined;
    if (socket === null || socket.connecting)
      return elapsed > connectMs ? `There is no connection after ${connectMs / 1_000} s.` : undefined;
    const written = this.#taken;
    const longest = Math.min(maxFirstByteMs, firstByteMs + (written / minBytesPerSecond) * 1_000);
    if (elapsed > longest) return `There is no answer after ${Math.round(longest / 1_000)} s.`;
    if (written < this.#bodyBytes && this.#sending.isTooSlow(now, written)) return `It is sent less than ${rate}.`;
    return undefined;
  }
}

/** A kept connection that turned out to be closed before anything of the answer had come. */
class StaleConnectionError extends Error {
  override readonly name = 'StaleConnectionError';
}

async function readAnswer(answer: IncomingMessage, maxBytes: number, watch: Watch): Promise<Uint8Array> {
  watch.add(0);
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    total += chunk.byteLength;
    watch.add(chunk.byteLength);
    if (total > maxBytes) throw new HostFailure('UNREACHABLE', `An answer has more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, total);
}

function failureOf(error: unknown, { reusedSocket }: ClientRequest, { hasAnswer }: Watch): Error {
  if (error instanceof HostFailure) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  if (reusedSocket && !hasAnswer) return new StaleConnectionError();
  const message = error instanceof Error ? error.message : String(error);
  return new HostFailure('UNREACHABLE', `There was no answer: ${message}.`, { cause: error });
}
