import type { IncomingMessage } from 'node:http';
import { isLoopbackHost } from '../platform/loopback.js';

/**
 * Why a browser's request from another site is refused; undefined when it is not. Without tokens a node on loopback trusts
 * every client that can reach it. Pages of other sites can, through the browser: by cross-site requests, and by names that
 * resolve to loopback.
 */
export function crossSiteRefusal(
  { headers }: Pick<IncomingMessage, 'headers'>,
  hasTokens: boolean,
): string | undefined {
  const { origin, host = '' } = headers;
  if (!hasTokens && !isLoopbackHost(host)) {
    return `The Host header names '${host.slice(0, 100)}', but without tokens only loopback is served. Use http://127.0.0.1 or set SHERATAN_API_TOKENS.`;
  }
  if (origin !== undefined && !isSameOrigin(origin, host)) {
    return `Requests from pages of ${origin.slice(0, 100)} are not served here.`;
  }
  return undefined;
}

function isSameOrigin(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}
