import type { Damaged, Roots } from './answers.js';
import type { ClaimBody } from './claim-body.js';
import type { NumberedEvent } from './event.js';
import type { StoredEvent } from './events-answer.js';
import type { Fingerprint, Origin, Sequence } from './fields.js';
import type { DamagedQuery, EntriesQuery, EventsQuery } from './queries.js';
import { printable, type Refusal, type RefusalCode } from './refusal.js';
import type { SignedThing } from './signed.js';
import type { VerifyKey } from './verify-key.js';

/** The identity of the host that answers at a URL. */
export interface HostKeys {
  /** The fingerprint of the key. */
  readonly host: Fingerprint;
  readonly verifyKey: VerifyKey;
}

/** A head as received, and the `request` that it must name: SHA-256 of the request body, or the challenge. */
export interface HeadAnswer {
  readonly head: SignedThing<'head'>;
  readonly request: Uint8Array;
}

/**
 * The requests that a core sends to a storage host. An answer is authenticated and well formed, but not verified: a head is
 * the host's statement only if it opens under the host's key. Every method throws HostFailure.
 */
export interface HostClient {
  readonly url: string;
  /** The keys that the host states; they are not authenticated. @throws HostFailure OUTDATED when it uses another protocol */
  keys(): Promise<HostKeys>;
  claim(origin: Origin, claim: Omit<ClaimBody, 'challenge'>): Promise<HeadAnswer>;
  /** @param batch as encodeBatch makes it; the same bytes serve every host */
  ship(origin: Origin, batch: Uint8Array): Promise<HeadAnswer>;
  head(origin: Origin): Promise<HeadAnswer>;
  roots(origin: Origin, at: Sequence, signal?: AbortSignal): Promise<Roots>;
  /** The entries of a page, 42 bytes each. */
  entries(origin: Origin, query: EntriesQuery, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** @param signal cancels this request */
  events(origin: Origin, query: EventsQuery, signal?: AbortSignal): Promise<readonly StoredEvent[]>;
  damaged(origin: Origin, query: DamagedQuery): Promise<Damaged>;
  /** The number of the given events that are intact at the host now. */
  mend(origin: Origin, events: readonly NumberedEvent[]): Promise<number>;
}

/**
 * Why a request failed: a refusal of the host, or a failure on the way. UNREACHABLE: no answer authenticated by the host
 * arrived. TIMEOUT: the host or the network was too slow. NONSENSE: the answer does not follow the protocol. OUTDATED: the
 * host uses another protocol.
 */
export type HostFailureCode = RefusalCode | 'UNREACHABLE' | 'TIMEOUT' | 'NONSENSE' | 'OUTDATED';

/** A request to a host failed. */
export class HostFailure extends Error {
  override readonly name = 'HostFailure';
  readonly code: HostFailureCode;
  /** The host's refusal, if any. A claim or tree in it counts only when it opens under the origin's key. */
  readonly refusal: Refusal | undefined;

  constructor(code: HostFailureCode, message: string, options: ErrorOptions & { readonly refusal?: Refusal } = {}) {
    super(printable(message), options);
    this.code = code;
    this.refusal = options.refusal;
  }
}
