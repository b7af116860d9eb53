import type { KeyObject } from 'node:crypto';
import { fromBase64, toBase64 } from '../../src/infra/crypto/bytes.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { fingerprintOf, publicKeyText } from '../../src/infra/crypto/signing.js';
import { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import { Replica } from '../../src/infra/offgrid/host/replica.js';
import { encodeDamaged, encodeEntries, encodeRoots } from '../../src/infra/offgrid/protocol/answers.js';
import { decodeClaimBody } from '../../src/infra/offgrid/protocol/claim-body.js';
import { encodeStoredEvent } from '../../src/infra/offgrid/protocol/events-answer.js';
import { decodeMend, encodeMendAnswer } from '../../src/infra/offgrid/protocol/mend.js';
import type { DamagedQuery, EntriesQuery, EventsQuery } from '../../src/infra/offgrid/protocol/queries.js';
import { encodeSigned } from '../../src/infra/offgrid/protocol/signed.js';
import { verifyKey, type VerifyKey } from '../../src/infra/offgrid/protocol/verify-key.js';
import type { Random } from '../support/random.js';
import { batchOf } from './bodies.js';
import { HostDisk, MemoryReplicaStore } from './host-disk.js';
import type { VirtualClock } from './virtual-time.js';

/** The identities of hosts: the same in every seed, because keys are expensive. */
interface Identity {
  readonly id: string;
  readonly verifyKey: VerifyKey;
  readonly signingKey: KeyObject;
}

/** The most hosts of a world. */
export const MAX_HOSTS = 6;
const IDENTITIES = Array.from({ length: MAX_HOSTS }, (_, i): Identity => {
  const { signingKey, verifyKey: publicKey } = new RootKey(Buffer.alloc(32, i + 1));
  const key = verifyKey(fromBase64(publicKeyText(publicKey)), 'the key of a host');
  return { id: fingerprintOf(toBase64(key)), verifyKey: key, signingKey };
});

/** A request to a host, as it arrives over the network. */
export type Request =
  | { readonly is: 'claim' | 'ship' | 'mend'; readonly body: Uint8Array }
  | { readonly is: 'head'; readonly challenge: Uint8Array }
  | { readonly is: 'roots'; readonly at: number }
  | { readonly is: 'entries'; readonly query: EntriesQuery }
  | { readonly is: 'events'; readonly query: EventsQuery }
  | { readonly is: 'damaged'; readonly query: DamagedQuery };

/** How a dishonest host answers a request. Undefined: as the honest host behind it answers. */
export type Lie = (request: Request, host: SimHost) => Promise<Uint8Array> | undefined;

/** The traits of a host. */
export interface HostTraits {
  readonly weight: number;
  readonly skewMs: number;
}

/** A host: the product's rules over a disk in memory, until it is killed, and again when it is started. */
export class SimHost {
  readonly index: number;
  readonly url: string;
  readonly identity: Identity;
  readonly traits: HostTraits;
  readonly disk = new HostDisk();
  lie: Lie | undefined;
  /** Whether it may be put back to an older state. */
  isRolledBack = false;
  /** It is lost, with everything that it had. */
  isGone = false;
  /** Called with what the honest host refuses. */
  onRefused: (refusal: RefusalError, request: Request) => void = () => undefined;
  readonly #origin: string;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  #life: { isOver: boolean } | undefined;
  #replica: Replica | undefined;

  constructor(index: number, origin: string, traits: HostTraits, clock: VirtualClock, random: Random) {
    this.index = index;
    this.url = `http://host-${index}`;
    this.identity = IDENTITIES[index]!;
    this.traits = traits;
    this.#origin = origin;
    this.#clock = clock;
    this.#random = random;
    this.start();
  }

  /** Whether none of its statements is reliable: it counts towards the weight that may be dishonest. */
  get isFaulty(): boolean {
    return this.lie !== undefined || this.isRolledBack;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  start(): void {
    if (this.isUp || this.isGone) return;
    const life = { isOver: false };
    this.#life = life;
    const { identity, traits } = this;
    this.#replica = new Replica(this.#origin, {
      store: new MemoryReplicaStore(this.disk, this.#clock, this.#random, life),
      identity: { id: identity.id, signingKey: identity.signingKey },
      clock: { now: () => new Date(this.#clock.now + traits.skewMs) },
      origins: new Map(),
    });
  }

  /** Ends immediately: what was not on the disk is lost, and no request is answered. */
  kill(): void {
    if (this.#life !== undefined) this.#life.isOver = true;
    this.#life = undefined;
    this.#replica = undefined;
  }

  /** The answer to a request. @throws RefusalError */
  async serve(request: Request): Promise<Uint8Array> {
    return (await this.lie?.(request, this)) ?? this.serveHonestly(request);
  }

  /** The answer of the product's own host. @throws RefusalError */
  async serveHonestly(request: Request): Promise<Uint8Array> {
    const replica = this.#replica;
    if (replica === undefined) throw new Error('a host that is down was asked');
    try {
      switch (request.is) {
        case 'claim':
          return encodeSigned(await replica.claim(decodeClaimBody(request.body), sha256(request.body)));
        case 'ship':
          return encodeSigned(await replica.append(batchOf(request.body).batch, sha256(request.body)));
        case 'mend':
          return encodeMendAnswer({ mended: await replica.mend(decodeMend(request.body).events) });
        case 'head':
          return encodeSigned(await replica.head(request.challenge));
        case 'roots':
          return encodeRoots(await replica.roots(request.at));
        case 'entries':
          return encodeEntries(await replica.entries(request.query));
        case 'events':
          return Buffer.concat((await replica.events(request.query)).map((event) => encodeStoredEvent(event)));
        case 'damaged':
          return encodeDamaged({ sequences: await replica.damaged(request.query) });
      }
    } catch (error) {
      if (error instanceof RefusalError) this.onRefused(error, request);
      throw error;
    }
  }

  /** Checks everything that it has, as a scrub does. */
  async scrub(): Promise<void> {
    const replica = this.#replica;
    if (replica === undefined || this.disk.state === undefined) return;
    for (const of of ['head', 'staged'] as const)
      await replica.events({ of, after: 0, limit: this.disk.state.rows[of].length, bytes: Infinity });
    await replica.checkLeaves();
  }
}
