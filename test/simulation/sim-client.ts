import { toBase64 } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { fingerprintOf } from '../../src/infra/crypto/signing.js';
import {
  decodeDamaged,
  decodeEntries,
  decodeRoots,
  type Damaged,
  type Roots,
} from '../../src/infra/offgrid/protocol/answers.js';
import { encodeClaimBody, type ClaimBody } from '../../src/infra/offgrid/protocol/claim-body.js';
import type { NumberedEvent } from '../../src/infra/offgrid/protocol/event.js';
import { decodeStoredEvents, type StoredEvent } from '../../src/infra/offgrid/protocol/events-answer.js';
import { decodeHeadAnswer } from '../../src/infra/offgrid/protocol/head.js';
import {
  HostFailure,
  type HeadAnswer,
  type HostClient,
  type HostKeys,
} from '../../src/infra/offgrid/protocol/host-client.js';
import { decodeMendAnswer, encodeMend } from '../../src/infra/offgrid/protocol/mend.js';
import { ProtocolError } from '../../src/infra/offgrid/protocol/protocol-error.js';
import type { DamagedQuery, EntriesQuery, EventsQuery } from '../../src/infra/offgrid/protocol/queries.js';
import { isVerifyKey } from '../../src/infra/offgrid/protocol/verify-key.js';
import type { Random } from '../support/random.js';
import { batchOf, type SentBatch } from './bodies.js';
import type { Request, SimHost } from './host.js';
import type { Asker, Network } from './network.js';

const CHALLENGE_BYTES = 32;
const CLAIM_CHALLENGE_BYTES = 16;

/** Options of a client. */
export interface SimClientOptions {
  readonly host: SimHost;
  readonly network: Network;
  readonly asker: Omit<Asker, 'signals'>;
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Called with every batch, before it is sent. */
  readonly onShip?: (batch: SentBatch) => void;
}

/** A host over the virtual network: bodies and answers are the same bytes as over HTTP. */
export class SimClient implements HostClient {
  readonly url: string;
  readonly #options: SimClientOptions;

  constructor(options: SimClientOptions) {
    this.url = options.host.url;
    this.#options = options;
  }

  async keys(): Promise<HostKeys> {
    const { network, host } = this.#options;
    const verifyKey = await network.meet(host, this.#asker());
    if (!isVerifyKey(verifyKey)) throw new HostFailure('NONSENSE', 'the host sent an invalid verify key');
    return { host: fingerprintOf(toBase64(verifyKey)), verifyKey };
  }

  claim(_origin: string, claim: Omit<ClaimBody, 'challenge'>): Promise<HeadAnswer> {
    return this.#post('claim', encodeClaimBody({ ...claim, challenge: this.#bytes(CLAIM_CHALLENGE_BYTES) }));
  }

  ship(_origin: string, batch: Uint8Array): Promise<HeadAnswer> {
    if (!this.#options.asker.life.isOver) this.#options.onShip?.(batchOf(batch));
    return this.#post('ship', batch);
  }

  async head(): Promise<HeadAnswer> {
    const challenge = this.#bytes(CHALLENGE_BYTES);
    return { head: await this.#ask({ is: 'head', challenge }, decodeHeadAnswer), request: challenge };
  }

  roots(_origin: string, at: number, signal?: AbortSignal): Promise<Roots> {
    return this.#ask({ is: 'roots', at }, decodeRoots, signal);
  }

  entries(_origin: string, query: EntriesQuery, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#ask({ is: 'entries', query }, decodeEntries, signal);
  }

  events(_origin: string, query: EventsQuery, signal?: AbortSignal): Promise<readonly StoredEvent[]> {
    return this.#ask({ is: 'events', query }, decodeStoredEvents, signal);
  }

  damaged(_origin: string, query: DamagedQuery): Promise<Damaged> {
    return this.#ask({ is: 'damaged', query }, decodeDamaged);
  }

  async mend(_origin: string, events: readonly NumberedEvent[]): Promise<number> {
    return (await this.#ask({ is: 'mend', body: encodeMend({ events }) }, decodeMendAnswer)).mended;
  }

  async #post(is: 'claim' | 'ship', body: Uint8Array): Promise<HeadAnswer> {
    return { head: await this.#ask({ is, body }, decodeHeadAnswer), request: sha256(body) };
  }

  async #ask<A>(request: Request, decode: (answer: Uint8Array) => A, signal?: AbortSignal): Promise<A> {
    const { network, host } = this.#options;
    const answer = await network.ask(host, this.#asker(signal), request);
    try {
      return decode(answer);
    } catch (error) {
      if (error instanceof ProtocolError) throw new HostFailure('NONSENSE', error.message, { cause: error });
      throw error;
    }
  }

  #asker(signal?: AbortSignal): Asker {
    return { ...this.#options.asker, signals: [this.#options.signal, signal] };
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#options.random.between(0, 255));
  }
}
