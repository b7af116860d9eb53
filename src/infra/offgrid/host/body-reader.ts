import type { Readable } from 'node:stream';
import { MinimumRate, SLOWEST, type Rate } from '../protocol/minimum-rate.js';
import { RefusalError, UnprovenRequestError } from './refusal-error.js';

/** The time at the start of a body during which its rate is not checked, in milliseconds. */
const GRACE_MS = 10_000;
/** How often the rate is checked per window. */
const LOOKS = 10;

/** The limits of a reader of bodies, in milliseconds and bytes per second. */
export interface Patience extends Rate {
  readonly graceMs: number;
}

const PATIENCE: Patience = { ...SLOWEST, graceMs: GRACE_MS };

/**
 * Reads the body of a request, which must keep a minimum rate.
 * @param maxBytes the maximum size of the body
 * @throws UnprovenRequestError TOO_LARGE; BAD_REQUEST when the body arrives too slowly or is cut off
 */
export async function readBody(stream: Readable, maxBytes: number, patience = PATIENCE): Promise<Uint8Array> {
  const { windowMs, graceMs } = patience;
  const chunks: Buffer[] = [];
  let total = 0;
  const rate = new MinimumRate(patience);
  const begun = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - begun >= graceMs && rate.isTooSlow(now, total)) stream.destroy(tooSlow(patience));
  }, windowMs / LOOKS);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      total += chunk.byteLength;
      if (total > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, total);
  } catch (error) {
    if (error instanceof RefusalError) throw error;
    throw new UnprovenRequestError({ code: 'BAD_REQUEST', message: 'The body was cut off.' }, { cause: error });
  } finally {
    clearInterval(timer);
  }
}

function tooLarge(maxBytes: number): RefusalError {
  const message = `The body has more than ${maxBytes} bytes. Send less at a time.`;
  return new UnprovenRequestError({ code: 'TOO_LARGE', message });
}

function tooSlow({ minBytesPerSecond, windowMs }: Patience): RefusalError {
  const message = `The body arrived at less than ${minBytesPerSecond} bytes per second over ${windowMs / 1_000} s.`;
  return new UnprovenRequestError({ code: 'BAD_REQUEST', message });
}
