import type { KeyObject } from 'node:crypto';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { fingerprintOf, publicKeyText } from '../../src/infra/crypto/signing.js';
import { HostRefusal } from '../../src/infra/offgrid/host/problems.js';
import { Replica } from '../../src/infra/offgrid/host/replica.js';
import type { ReturnedEvent } from '../../src/infra/offgrid/replicator/host-port.js';
import { decodeBatch } from '../../src/infra/offgrid/wire/batch.js';
import type { Claim } from '../../src/infra/offgrid/wire/claim.js';
import { signHead, type SignedHead } from '../../src/infra/offgrid/wire/head.js';
import type { Random } from '../support/random.js';
import { Disk, DiskStore } from './disk.js';
import type { VirtualClock } from './virtual-time.js';

/** How a host lies. */
export const LIES = ['ROOT', 'OLD', 'FORGED', 'BOASTS', 'FORGETS', 'PAST', 'BYTES', 'ROOTS'] as const;
export type LieKind = (typeof LIES)[number];

/** Who a host is: the same in every seed, for keys are dear. */
interface Identity {
  readonly id: string;
  readonly verifyKey: string;
  readonly signingKey: KeyObject;
}

const IDENTITIES = Array.from({ length: 6 }, (_, i): Identity => {
  const { signingKey, verifyKey } = new RootKey(Buffer.alloc(32, i + 1));
  const text = publicKeyText(verifyKey);
  return { id: fingerprintOf(text), verifyKey: text, signingKey };
});
const FORGER = new RootKey(Buffer.alloc(32, 99)).signingKey;

/** What a host is like. */
export interface HostTraits {
  readonly weight: number;
  readonly skewMs: number;
  /** It takes no larger bodies. */
  readonly maxBodyBytes: number;
  readonly lie: { readonly kind: LieKind; readonly chance: number } | undefined;
}

/** A host: the real rules over a disk in memory, until it is killed, and again when it is started. */
export class SimHost {
  readonly url: string;
  readonly identity: Identity;
  readonly traits: HostTraits;
  readonly disk = new Disk();
  /** Is told what an honest host refuses. */
  onRefused: (refusal: HostRefusal) => void = () => undefined;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  #life: { isOver: boolean } | undefined;
  #replica: Replica | undefined;
  #oldHead: SignedHead | undefined;

  constructor(index: number, origin: string, traits: HostTraits, clock: VirtualClock, random: Random) {
    this.url = `http://host-${index}`;
    this.identity = IDENTITIES[index]!;
    this.traits = traits;
    this.#clock = clock;
    this.#random = random;
    this.start(origin);
  }

  get isHonest(): boolean {
    return this.traits.lie === undefined;
  }

  get isUp(): boolean {
    return this.#replica !== undefined;
  }

  start(origin: string): void {
    if (this.isUp) return;
    const life = { isOver: false };
    this.#life = life;
    const clock = { now: () => new Date(this.#clock.now + this.traits.skewMs) };
    const { id, signingKey } = this.identity;
    const store = new DiskStore(this.disk, this.#clock, this.#random, life);
    this.#replica = new Replica(origin, { store, identity: { id, signingKey }, clock });
  }

  kill(): void {
    if (this.#life !== undefined) this.#life.isOver = true;
    this.#replica = undefined;
  }

  /** Does what a request asks for; it never ends if the host is killed meanwhile. */
  serve<A>(work: (doors: Doors) => Promise<A>): Promise<A> {
    const [replica, life] = [this.#replica, this.#life];
    if (replica === undefined || life === undefined) throw new Error('a host that is down serves nobody');
    return new Promise((resolve, reject) => {
      work(this.#doorsOf(replica)).then(
        (answer) => {
          if (!life.isOver) resolve(answer);
        },
        (error: unknown) => {
          if (error instanceof HostRefusal && this.isHonest) this.onRefused(error);
          if (!life.isOver) reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  #doorsOf(replica: Replica): Doors {
    return {
      claim: async (claim) => this.#twist(await replica.claim(claim)),
      ship: async (body) => {
        if (body.byteLength > this.traits.maxBodyBytes) throw new HostRefusal('TOO_LARGE', 'The body is too large.');
        const batch = decodeBatch(body);
        if (batch === undefined) throw new HostRefusal('BAD_REQUEST', 'The body is not a batch.');
        return this.#twist(await replica.append(batch));
      },
      rootAt: async (sequence) => {
        if (this.#lies('ROOTS')) return this.#random.chance(0.5) ? 'ab'.repeat(32) : await replica.rootAt(0);
        return replica.rootAt(sequence);
      },
      events: async (after, limit) => {
        const events = await replica.events(after, limit, Number.MAX_SAFE_INTEGER);
        if (!this.#lies('BYTES')) return events;
        return events.map((event) => ({ ...event, sealed: Buffer.alloc(event.sealed.byteLength, 7) }));
      },
    };
  }

  #lies(...kinds: readonly LieKind[]): boolean {
    const { lie } = this.traits;
    return lie !== undefined && kinds.includes(lie.kind) && this.#random.chance(lie.chance);
  }

  #twist(head: SignedHead): SignedHead {
    const { lie } = this.traits;
    if (lie === undefined) return head;
    this.#oldHead ??= head;
    if (!this.#random.chance(lie.chance)) return head;
    const { signature: _, ...said } = head;
    const { signingKey } = this.identity;
    switch (lie.kind) {
      case 'ROOT':
      case 'ROOTS':
      case 'BYTES':
        return signHead(signingKey, { ...said, root: 'cd'.repeat(32) });
      case 'OLD':
        return this.#oldHead;
      case 'FORGED':
        return signHead(FORGER, said);
      case 'BOASTS':
        return signHead(signingKey, { ...said, sequence: said.sequence + 1, root: 'ef'.repeat(32) });
      case 'FORGETS':
        this.#forget();
        return head;
      case 'PAST':
        return signHead(signingKey, { ...said, ...this.#past() });
    }
  }

  /** The disk goes back to what it was some events ago. */
  #forget(): void {
    const { replica, events } = this.disk;
    if (replica === undefined || events.length === 0) return;
    const { sequence } = this.#past();
    this.disk.events = events.slice(0, sequence);
    this.disk.replica = { ...replica, sequence, peaks: treeOf(this.disk.events).peaks };
  }

  #past(): { readonly sequence: number; readonly root: string } {
    const { events } = this.disk;
    const sequence = this.#random.between(0, events.length);
    return { sequence, root: Buffer.from(treeOf(events.slice(0, sequence)).root()).toString('hex') };
  }
}

/** What a host can be asked. */
export interface Doors {
  claim(claim: Claim): Promise<SignedHead>;
  ship(body: Uint8Array): Promise<SignedHead>;
  rootAt(sequence: number): Promise<string>;
  events(after: number, limit: number): Promise<readonly ReturnedEvent[]>;
}

function treeOf(events: readonly { readonly eid: Uint8Array }[]): MerkleFrontier {
  const tree = new MerkleFrontier(sha256);
  for (const { eid } of events) tree.append(eid);
  return tree;
}
