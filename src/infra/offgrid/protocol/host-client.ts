import type { Damaged, Roots } from './answers.js';
import type { ClaimBody } from './claim-body.js';
import type { NumberedEvent } from './event.js';
import type { StoredEvent } from './events-answer.js';
import type { Fingerprint, Origin, Sequence } from './fields.js';
import type { DamagedQuery, EntriesQuery, EventsQuery } from './queries.js';
import { printable, type Refusal, type RefusalCode } from './refusal.js';
import type { SignedThing } from './signed.js';
import type { VerifyKey } from './verify-key.js';

/** Who answers at a URL. */
export interface HostKeys {
  /** The fingerprint of the key. */
  readonly host: Fingerprint;
  readonly verifyKey: VerifyKey;
}

/** A head as it came, and what it must name: the SHA-256 of the body that it answers, or the challenge. */
export interface HeadAnswer {
  readonly head: SignedThing<'head'>;
  readonly request: Uint8Array;
}

/**
 * A storage host, as far as a core speaks to it. What comes back was said by the host and is well formed. It is not
 * verified: a head is true when it opens under the host's key.
 * @throws HostFailure, of every method
 */
export interface HostClient {
  readonly url: string;
  /** Who it says it is. @throws HostFailure OUTDATED: it speaks protocol 1 */
  keys(): Promise<HostKeys>;
  claim(origin: Origin, claim: Omit<ClaimBody, 'challenge'>): Promise<HeadAnswer>;
  /** @param batch as encodeBatch makes it; the same bytes serve every host */
  ship(origin: Origin, batch: Uint8Array): Promise<HeadAnswer>;
  head(origin: Origin): Promise<HeadAnswer>;
  roots(origin: Origin, at: Sequence, signal?: AbortSignal): Promise<Roots>;
  /** 42 bytes each. */
  entries(origin: Origin, query: EntriesQuery, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** @param signal gives this request up */
  events(origin: Origin, query: EventsQuery, signal?: AbortSignal): Promise<readonly StoredEvent[]>;
  damaged(origin: Origin, query: DamagedQuery): Promise<Damaged>;
  /** How many of the events are whole now. */
  mend(origin: Origin, events: readonly NumberedEvent[]): Promise<number>;
}

/**
 * What becomes of a request, beside an answer: what the host refuses, and what the way there does. UNREACHABLE: nothing came
 * that the host has said. TIMEOUT: it, or the way, was too slow. NONSENSE: it said what the protocol has not. OUTDATED: it
 * speaks another protocol.
 */
export type HostFailureCode = RefusalCode | 'UNREACHABLE' | 'TIMEOUT' | 'NONSENSE' | 'OUTDATED';

/** A request to a host came to nothing. */
export class HostFailure extends Error {
  override readonly name = 'HostFailure';
  readonly code: HostFailureCode;
  /** What the host refused with; a claim or tree in it counts when it opens under the origin's key. */
  readonly refusal: Refusal | undefined;

  constructor(code: HostFailureCode, message: string, options: ErrorOptions & { readonly refusal?: Refusal } = {}) {
    super(printable(message), options);
    this.code = code;
    this.refusal = options.refusal;
  }
}
