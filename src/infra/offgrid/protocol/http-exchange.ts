import { request as requestHttp, Agent as HttpAgent, type IncomingMessage, type ClientRequest } from 'node:http';
import { request as requestHttps, Agent as HttpsAgent } from 'node:https';
import { HostFailure } from './host-client.js';
import { MinimumRate, SLOWEST, type Rate } from './minimum-rate.js';

/** The time limit for establishing a connection, in milliseconds. */
const CONNECT_MS = 15_000;
/** The time limit for the first byte of an answer, without the time to send the request, in milliseconds. */
const FIRST_BYTE_MS = 30_000;
/** The time limit for the first byte of an answer, including the time to send the request, in milliseconds. */
const MAX_FIRST_BYTE_MS = 300_000;
/** The interval at which the progress of an exchange is checked, in milliseconds. */
const LOOK_MS = 1_000;
/** The size of the pieces in which a body is written, in bytes. */
const PIECE_BYTES = 16 * 1024;
/** The maximum number of connections to one host. */
const MAX_SOCKETS = 4;

/** The time limits of an exchange, in milliseconds. The total time is not limited, but each part must make progress. */
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

/** A request as sent. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** The maximum size of the answer in bytes; a larger one fails with UNREACHABLE. */
  readonly maxAnswerBytes: number;
  readonly signal?: AbortSignal;
}

/** An answer as received; its sender is not authenticated. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Uint8Array;
}

/** Sends requests to the server at a URL over kept connections. */
export class HttpExchange {
  readonly #base: URL;
  readonly #patience: Patience;
  readonly #agent: HttpAgent;

  /** @param url with http or https @throws TypeError when it is not a URL */
  constructor(url: string, patience = PATIENCE) {
    this.#base = new URL(url);
    this.#patience = patience;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.#agent = this.#base.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /**
   * Sends a request and returns the answer.
   * @param make makes the request; it is called again when a kept connection turns out to be closed
   * @throws HostFailure UNREACHABLE, TIMEOUT
   */
  async send(make: () => HttpRequest): Promise<HttpAnswer> {
    for (;;) {
      try {
        return await this.#attempt(make());
      } catch (error) {
        // The loop ends: each failed attempt removes one of the few kept connections, until a new one is opened.
        if (!(error instanceof StaleConnectionError)) throw error;
      }
    }
  }

  /** Closes the kept connections. */
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

/** Writes a body in pieces: the callback of each piece shows how much the connection has accepted. */
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

/** Ends an exchange that makes too little progress. */
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

  /** Whether any part of an answer has arrived. */
  get hasAnswer(): boolean {
    return this.#reading !== undefined;
  }

  /** Records that bytes of an answer have arrived; 0 for its headers. */
  add(bytes: number): void {
    this.#reading ??= new MinimumRate(this.#patience);
    this.#read += bytes;
  }

  /** Records that the connection has accepted bytes of the body. */
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

  /** Why the exchange has timed out; undefined if it has not. */
  #lateness(now: number): string | undefined {
    const { connectMs, firstByteMs, maxFirstByteMs, minBytesPerSecond, windowMs } = this.#patience;
    const { socket } = this.#sent;
    const elapsed = now - this.#begun;
    const rate = `${minBytesPerSecond} bytes per second over ${windowMs / 1_000} s`;
    if (this.#reading !== undefined)
      return this.#reading.isTooSlow(now, this.#read) ? `The answer arrived at less than ${rate}.` : undefined;
    if (socket === null || socket.connecting)
      return elapsed > connectMs ? `No connection was established within ${connectMs / 1_000} s.` : undefined;
    const written = this.#taken;
    const longest = Math.min(maxFirstByteMs, firstByteMs + (written / minBytesPerSecond) * 1_000);
    if (elapsed > longest) return `No answer arrived within ${Math.round(longest / 1_000)} s.`;
    if (written < this.#bodyBytes && this.#sending.isTooSlow(now, written))
      return `The request was sent at less than ${rate}.`;
    return undefined;
  }
}

/** A kept connection turned out to be closed before any part of the answer arrived. */
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
    if (total > maxBytes) throw new HostFailure('UNREACHABLE', `The answer has more than ${maxBytes} bytes.`);
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
