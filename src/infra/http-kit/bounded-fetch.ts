/** The bounds of an exchange. */
export interface FetchBounds {
  /** The most time that the exchange takes, in milliseconds. */
  readonly timeoutMs: number;
  /** The most bytes of the body of the answer. */
  readonly maxBytes: number;
}

/** An answer of any status, with its whole body. */
export interface FetchedText {
  readonly status: number;
  readonly text: string;
}

/** The body of an answer has more bytes than the bound. */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}

/**
 * Sends a request and reads the body of the answer as UTF-8, within bounds. It follows no redirect.
 * @throws TooLargeError; TimeoutError, a DOMException; TypeError when there is no answer, with the reason as its cause
 */
export async function fetchText(
  url: string,
  init: RequestInit,
  { timeoutMs, maxBytes }: FetchBounds,
): Promise<FetchedText> {
  const signal = AbortSignal.timeout(timeoutMs);
  const { status, body } = await fetch(url, { ...init, redirect: 'error', signal });
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (body as AsyncIterable<Uint8Array> | null) ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new TooLargeError(`The answer has more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return { status, text: Buffer.concat(chunks).toString('utf8') };
}
