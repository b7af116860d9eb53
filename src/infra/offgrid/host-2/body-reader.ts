import type { Readable } from 'node:stream';
import { RefusalError } from './refusal-error.js';

/** How long a body may take to begin with, in milliseconds, whatever its pace. */
const GRACE_MS = 10_000;
/** The time over which a body must keep its pace, in milliseconds. */
const WINDOW_MS = 30_000;
/** The slowest that a body may come, in bytes a second. */
const MIN_BYTES_PER_SECOND = 512;

/** How patient a reader of bodies is. */
export interface Patience {
  readonly graceMs: number;
  readonly windowMs: number;
  readonly minBytesPerSecond: number;
}

const PATIENCE: Patience = { graceMs: GRACE_MS, windowMs: WINDOW_MS, minBytesPerSecond: MIN_BYTES_PER_SECOND };

/**
 * Reads the body of a request, which must keep coming.
 * @param maxBytes the most that it may have
 * @throws RefusalError TOO_LARGE; BAD_REQUEST when it comes too slowly or is cut off
 */
export async function readBody(stream: Readable, maxBytes: number, patience = PATIENCE): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let total = 0;
  const pace = new Pace(patience, () => total);
  const timer = setInterval(() => {
    if (pace.isTooSlow(performance.now())) stream.destroy(tooSlow(patience));
  }, patience.windowMs / 10);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      total += chunk.byteLength;
      if (total > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, total);
  } catch (error) {
    if (error instanceof RefusalError) throw error;
    throw new RefusalError({ code: 'BAD_REQUEST', message: 'The body was cut off.' }, { cause: error });
  } finally {
    clearInterval(timer);
  }
}

/** Whether bytes have come fast enough over every window. */
class Pace {
  readonly #patience: Patience;
  readonly #bytes: () => number;
  readonly #startedAt = performance.now();
  /** How many bytes there were at moments of the last window. */
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  constructor(patience: Patience, bytes: () => number) {
    this.#patience = patience;
    this.#bytes = bytes;
  }

  isTooSlow(now: number): boolean {
    const { graceMs, windowMs, minBytesPerSecond } = this.#patience;
    if (now - this.#startedAt < graceMs) return false;
    const bytes = this.#bytes();
    this.#marks.push({ at: now, bytes });
    while (this.#marks.length > 1 && now - (this.#marks[1]?.at ?? now) >= windowMs) this.#marks.shift();
    const [oldest] = this.#marks;
    if (oldest === undefined || now - oldest.at < windowMs) return false;
    return bytes - oldest.bytes < (minBytesPerSecond * (now - oldest.at)) / 1_000;
  }
}

function tooLarge(maxBytes: number): RefusalError {
  return new RefusalError({
    code: 'TOO_LARGE',
    message: `The body has more than ${maxBytes} bytes. Send less at a time.`,
  });
}

function tooSlow({ minBytesPerSecond, windowMs }: Patience): RefusalError {
  const message = `The body came at less than ${minBytesPerSecond} bytes a second over ${windowMs / 1_000} s.`;
  return new RefusalError({ code: 'BAD_REQUEST', message });
}
