import { createHmac, timingSafeEqual } from 'node:crypto';
import { toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import type { Fingerprint } from './fields.js';

/** The maximum difference between the clocks of core and host, in seconds. */
export const MAX_SKEW_SECONDS = 300;

/** The time of the request: seconds since 1970, in decimal digits. */
export const DATE_HEADER = 'x-offgrid-date';
/** The nonce of the request: 32 hexadecimal digits, valid once. */
export const NONCE_HEADER = 'x-offgrid-nonce';
/** The HMAC of a request: 64 hexadecimal digits. */
export const SIGNATURE_HEADER = 'x-offgrid-signature';
/** SHA-256 of the body of a request: 64 hexadecimal digits. */
export const BODY_HEADER = 'x-offgrid-body';
/** The HMAC of an answer: 64 hexadecimal digits. */
export const ANSWER_HEADER = 'x-offgrid-answer';

declare const brand: unique symbol;

/** The key that a core shares with one host, 32 bytes. It authenticates requests and answers; it proves nothing else. */
export type HostKey = Uint8Array & { readonly [brand]?: 'host key' };

/** HMAC-SHA256(authKey, `host/2\n` ‖ fingerprint). `authKey` is OFFGRID_AUTH_KEY in UTF-8. */
export function hostKeyOf(authKey: string, host: Fingerprint): HostKey {
  return createHmac('sha256', authKey).update(`host/2\n${host}`).digest();
}

/** The parts of a request that its HMAC covers. */
export interface RequestLines {
  /** The fingerprint of the host that the request is for. */
  readonly host: Fingerprint;
  readonly method: string;
  /** The path with the query, as sent. */
  readonly path: string;
  /** Seconds since 1970, in decimal digits. */
  readonly date: string;
  /** 32 hexadecimal digits. */
  readonly nonce: string;
  /** SHA-256 of the body, 64 hexadecimal digits. The host compares it with the body after reading the body. */
  readonly bodyHash: string;
}

/** The parts of an answer that its HMAC covers. */
export interface AnswerLines {
  /** The fingerprint of the host that answers. */
  readonly host: Fingerprint;
  /** The nonce of the request. */
  readonly nonce: string;
  /** The HTTP status. */
  readonly status: number;
  readonly body: Uint8Array;
}

/** SHA-256 of a body as 64 hexadecimal digits, the value of `x-offgrid-body`. */
export function bodyHashOf(body: Uint8Array): string {
  return toHex(sha256(body));
}

/** HMAC-SHA256, hexadecimal, over the lines `request/2`, fingerprint, method, path, date, nonce and body hash. */
export function requestSignature(key: HostKey, { host, method, path, date, nonce, bodyHash }: RequestLines): string {
  return hmac(key, ['request/2', host, method, path, date, nonce, bodyHash]);
}

/** The headers that authenticate a request. */
export function requestHeaders(key: HostKey, request: RequestLines): Readonly<Record<string, string>> {
  return {
    [DATE_HEADER]: request.date,
    [NONCE_HEADER]: request.nonce,
    [BODY_HEADER]: request.bodyHash,
    [SIGNATURE_HEADER]: requestSignature(key, request),
  };
}

/** Whether a signature is the HMAC of a request; compares in constant time. */
export function isRequestSignature(key: HostKey, request: RequestLines, signature: string): boolean {
  return sameSignature(requestSignature(key, request), signature);
}

/** HMAC-SHA256, hexadecimal, over the lines `answer/2`, fingerprint, nonce, status and SHA-256 of the body. */
export function answerSignature(key: HostKey, { host, nonce, status, body }: AnswerLines): string {
  return hmac(key, ['answer/2', host, nonce, String(status), bodyHashOf(body)]);
}

/** Whether a signature is the HMAC of an answer; compares in constant time. */
export function isAnswerSignature(key: HostKey, answer: AnswerLines, signature: string): boolean {
  return sameSignature(answerSignature(key, answer), signature);
}

/**
 * A host's proof of its clock, for a core whose date it refuses: HMAC-SHA256, hexadecimal, over the lines `clock`,
 * fingerprint, the nonce of the request and the host's date in seconds since 1970.
 */
export function clockSignature(key: HostKey, host: Fingerprint, nonce: string, date: string): string {
  return hmac(key, ['clock', host, nonce, date]);
}

/** Compares two signatures in constant time. */
export function sameSignature(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}

/** The HMAC over lines joined by line feeds, with none at the end. */
function hmac(key: HostKey, lines: readonly string[]): string {
  return createHmac('sha256', key).update(lines.join('\n')).digest('hex');
}
