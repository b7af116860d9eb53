import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { sha256 } from '../../crypto/sha256.js';
import { toHex } from '../../crypto/bytes.js';

/** How far the clocks of the two sides may be apart, in seconds. */
export const MAX_SKEW_SECONDS = 300;
const NONCE_BYTES = 16;

export const DATE_HEADER = 'x-offgrid-date';
export const NONCE_HEADER = 'x-offgrid-nonce';
export const SIGNATURE_HEADER = 'x-offgrid-signature';

/** A request as it is authenticated. */
export interface AuthenticatedRequest {
  /** The fingerprint of the host it is for. */
  readonly host: string;
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly body: Uint8Array;
}

/** The headers that show that a request comes from one who knows the key. */
export function authHeaders(
  key: string,
  request: AuthenticatedRequest,
  nowMs: number,
): Readonly<Record<string, string>> {
  const date = String(Math.floor(nowMs / 1000));
  const nonce = randomBytes(NONCE_BYTES).toString('hex');
  return {
    [DATE_HEADER]: date,
    [NONCE_HEADER]: nonce,
    [SIGNATURE_HEADER]: requestSignature(key, request, date, nonce),
  };
}

/** HMAC-SHA256, hexadecimal, over host, method, path, date, nonce and the body's SHA-256, a line each. */
export function requestSignature(
  key: string,
  { host, method, path, body }: AuthenticatedRequest,
  date: string,
  nonce: string,
): string {
  return hmac(key, ['request', host, method, path, date, nonce, toHex(sha256(body))]);
}

/** What a host says about its clock to one whose clock is far from it: HMAC over host, the request's nonce and the date. */
export function clockSignature(key: string, host: string, nonce: string, date: string): string {
  return hmac(key, ['clock', host, nonce, date]);
}

export function sameSignature(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}

function hmac(key: string, lines: readonly string[]): string {
  return createHmac('sha256', key).update(lines.join('\n')).digest('hex');
}
