import type { RefusalCode, RefusalDetails } from '../host/problems.js';
import type { Claim } from '../wire/claim.js';
import type { SignedHead } from '../wire/head.js';

/** A sealed event as a host gives it back. */
export interface ReturnedEvent {
  readonly sequence: number;
  readonly etype: number;
  readonly ts: number;
  readonly sealed: Uint8Array;
}

/** Who answers at a URL. */
export interface HostKey {
  /** The fingerprint of the key. */
  readonly host: string;
  /** Ed25519, base64. */
  readonly verifyKey: string;
}

/** A storage host, as far as a core speaks to it. Failures are HostErrors; what comes back is well formed, not true. */
export interface HostPort {
  readonly url: string;
  /** Who it says it is. */
  key(): Promise<HostKey>;
  claim(origin: string, claim: Claim): Promise<SignedHead>;
  /** @param batch as `encodeBatch` makes it */
  ship(origin: string, batch: Uint8Array): Promise<SignedHead>;
  head(origin: string, challenge: string): Promise<SignedHead>;
  /** The Merkle root over its first events, hexadecimal. */
  rootAt(origin: string, sequence: number): Promise<string>;
  events(origin: string, after: number, limit: number): Promise<readonly ReturnedEvent[]>;
}

/** What can become of a request beside an answer: what the host refuses, and what the way there does. */
export type HostErrorCode = RefusalCode | 'UNREACHABLE' | 'TIMEOUT' | 'INTERNAL' | 'NONSENSE';

/** A request to a host came to nothing. */
export class HostError extends Error {
  override readonly name = 'HostError';
  readonly code: HostErrorCode;
  readonly details: RefusalDetails;
  /** How long the host wants to be left alone, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: HostErrorCode,
    message: string,
    details: RefusalDetails = {},
    options: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = details;
    this.retryAfterMs = options.retryAfterMs;
  }
}
