import type { KeyObject } from 'node:crypto';
import pLimit from 'p-limit';
import { MerkleFrontier } from '../../../domain/merkle.js';
import type { Clock } from '../../clock.js';
import { equalBytes, toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { publicKeyOf } from '../../crypto/signing.js';
import { packPeaks } from '../peaks.js';
import { isBatchSigned, type AddressedEvent, type decodeBatch } from '../wire/batch.js';
import { isClaimSigned, type Claim, type Destination, type SignedGrant } from '../wire/claim.js';
import { signHead, type SignedHead } from '../wire/head.js';
import { HostRefusal } from './problems.js';
import type { ReplicaStore, StoredAddress, StoredReplica } from './replica-store.js';

/** Addresses read at a time while a root is computed. */
const PAGE = 10_000;

/** What a batch is once it is decoded. */
export type ReceivedBatch = NonNullable<ReturnType<typeof decodeBatch>>;

/** Who the host is. */
export interface HostIdentity {
  /** The fingerprint of its verify key. */
  readonly id: string;
  readonly signingKey: KeyObject;
}

/** What a replica is kept with. */
export interface ReplicaOptions {
  readonly store: ReplicaStore;
  readonly identity: HostIdentity;
  readonly clock: Clock;
}

/**
 * The events of one origin on a host, and the rules by which they come to be there.
 *
 * Who writes is decided here: a claim is granted only above every epoch granted before, and an equal one only to the same
 * writer; then batches of lower epochs are FENCED. A batch continues at head + 1; where it overlaps it must be the same.
 * Where it is not, the newer epoch is right: what was there is set aside, as is what lies beyond a batch of a newer epoch.
 * Two stories within one epoch are a fork: the second is refused, and kept as evidence.
 */
export class Replica {
  readonly #origin: string;
  readonly #options: ReplicaOptions;
  /** One request at a time: each is judged on what the one before left. */
  readonly #inTurn = pLimit(1);

  constructor(origin: string, options: ReplicaOptions) {
    this.#origin = origin;
    this.#options = options;
  }

  /** Grants a claim, which is on the disk when this returns. @throws HostRefusal NOT_SIGNED, FENCED */
  claim(claim: Claim): Promise<SignedHead> {
    return this.#inTurn(async () => {
      const { store } = this.#options;
      const stored = await store.load(this.#origin);
      const key = this.#pinned(stored, claim.key);
      if (!isClaimSigned(claim, this.#here, key)) throw this.#notSigned('claim');
      const { epoch, writer, challenge, signature } = claim;
      const granted = stored?.grant;
      if (granted !== undefined && (epoch < granted.epoch || (epoch === granted.epoch && writer !== granted.writer)))
        throw fenced(granted);
      if (granted === undefined || epoch > granted.epoch) {
        await store.grant(this.#origin, claim.key, { epoch, writer, challenge, signature });
      }
      return this.#sign(stored ?? EMPTY, claim.challenge);
    });
  }

  /** Takes a batch, which is on the disk when this returns. @throws HostRefusal; nothing has changed then */
  append(batch: ReceivedBatch): Promise<SignedHead> {
    return this.#inTurn(async () => {
      const { store } = this.#options;
      const stored = await store.load(this.#origin);
      if (stored === undefined) throw notClaimed(batch.epoch);
      if (!isBatchSigned(batch, this.#here, this.#pinned(stored, stored.key))) throw this.#notSigned('batch');
      const { grant } = stored;
      if (batch.epoch < grant.epoch) throw fenced(grant);
      if (batch.epoch > grant.epoch) throw notClaimed(batch.epoch);
      if (batch.from > stored.sequence + 1) {
        const { sequence: head } = stored;
        throw new HostRefusal('GAP', `The batch begins at ${batch.from}; the last event here is ${head}.`, { head });
      }
      return this.#sign(await this.#take(batch, stored));
    });
  }

  /** The head, for one who asks without writing. */
  async head(challenge?: string): Promise<SignedHead> {
    const stored = await this.#known();
    return this.#sign(stored, challenge);
  }

  /** The Merkle root over the first events. @throws HostRefusal NOT_FOUND when there are not so many */
  rootAt(sequence: number): Promise<string> {
    return this.#inTurn(async () => {
      const stored = await this.#known();
      if (sequence > stored.sequence)
        throw new HostRefusal('NOT_FOUND', `There are ${stored.sequence} events of '${this.#origin}' here.`);
      const frontier = new MerkleFrontier(sha256);
      while (frontier.size < sequence) {
        const from = frontier.size + 1;
        const page = await this.#options.store.addresses(this.#origin, from, Math.min(sequence, from + PAGE - 1));
        if (page[0]?.sequence !== from) throw missing(from);
        for (const { sequence: next, eid } of page) {
          if (next !== frontier.size + 1) throw missing(frontier.size + 1);
          frontier.append(eid);
        }
      }
      return toHex(frontier.root());
    });
  }

  /** Events after a sequence. @throws HostRefusal NOT_FOUND, DAMAGED */
  async events(after: number, limit: number, maxBytes: number): Promise<readonly AddressedEvent[]> {
    await this.#known();
    return this.#options.store.events(this.#origin, after, limit, maxBytes);
  }

  async #known(): Promise<StoredReplica> {
    const stored = await this.#options.store.load(this.#origin);
    if (stored === undefined) throw new HostRefusal('NOT_FOUND', `There is nothing of '${this.#origin}' here.`);
    return stored;
  }

  async #take(batch: ReceivedBatch, stored: StoredReplica): Promise<StoredReplica> {
    const { store } = this.#options;
    const { epoch, events, from } = batch;
    const last = from + events.length - 1;
    const overlap = events.slice(0, Math.max(0, stored.sequence - from + 1));
    const there = await store.addresses(this.#origin, from, from + overlap.length - 1);
    const contradicted = overlap.filter((event) => !isSame(there, event));
    // Epochs never fall along a log: what lies beyond is older as a whole, or not at all.
    const isStaleBeyond = last < stored.sequence && stored.epoch < epoch;
    let kept = isStaleBeyond ? last : stored.sequence;
    let frontier: MerkleFrontier | undefined = new MerkleFrontier(sha256, stored.sequence, stored.peaks);
    if (contradicted[0] !== undefined || isStaleBeyond) {
      const before = (contradicted[0]?.sequence ?? kept + 1) - 1;
      frontier = await this.#frontierAt(before, stored);
      if (frontier !== undefined && before < kept && stored.epoch === epoch)
        throw await this.#forked(epoch, before + 1, [...contradicted, ...events.slice(overlap.length)]);
      // When what is here is damaged, and the batch has what was signed for, there is no contradiction.
      if (frontier === undefined) frontier = await this.#frontierAt(kept, stored, overlap);
      else kept = before;
    }
    if (frontier === undefined)
      throw new HostRefusal('DAMAGED', `The events of '${this.#origin}' here are not those that were signed for.`);
    const added = events.slice(Math.max(0, kept - from + 1));
    for (const { eid } of added) frontier.append(eid);
    const ownsLast = last >= frontier.size;
    const head = { sequence: frontier.size, epoch: ownsLast ? epoch : stored.epoch, peaks: frontier.peaks };
    await store.write(this.#origin, {
      ...(kept === stored.sequence ? {} : { setAsideFrom: kept + 1 }),
      reshipped: events.slice(0, Math.max(0, kept - from + 1)),
      added,
      epoch,
      head,
    });
    return { ...stored, ...head };
  }

  async #forked(epoch: number, sequence: number, others: readonly AddressedEvent[]): Promise<HostRefusal> {
    const kept = await this.#options.store.keepFork(this.#origin, epoch, others).then(
      () => 'Both are kept.',
      (error: unknown) => {
        if (error instanceof HostRefusal) return 'There is no room to keep both.';
        throw error;
      },
    );
    const message = `Event ${sequence} is another here, under the same epoch (${epoch}): two cores write as one. ${kept}`;
    return new HostRefusal('FORKED', message, { sequence });
  }

  /**
   * The tree of the first events, made from what is stored, with `known` in the place of what is stored of them;
   * undefined when these are not the events that the head was signed for.
   */
  async #frontierAt(
    size: number,
    stored: StoredReplica,
    known: readonly AddressedEvent[] = [],
  ): Promise<MerkleFrontier | undefined> {
    const eids = new Map(known.map(({ sequence, eid }) => [sequence, eid]));
    const all = new MerkleFrontier(sha256);
    let first = all.copy();
    for (let from = 1; from <= stored.sequence; from += PAGE) {
      const to = Math.min(stored.sequence, from + PAGE - 1);
      const page = await this.#options.store.addresses(this.#origin, from, to);
      const there = new Map(page.map(({ sequence, eid }) => [sequence, eid]));
      for (let sequence = from; sequence <= to; sequence += 1) {
        const eid = eids.get(sequence) ?? there.get(sequence);
        if (eid === undefined) return undefined;
        all.append(eid);
        if (sequence === size) first = all.copy();
      }
    }
    return equalBytes(packPeaks(all.peaks), packPeaks(stored.peaks)) ? first : undefined;
  }

  #pinned(stored: StoredReplica | undefined, given: string): KeyObject {
    const key = publicKeyOf(stored?.key ?? given);
    if (key === undefined || (stored !== undefined && stored.key !== given)) throw this.#notSigned('claim');
    return key;
  }

  get #here(): Destination {
    return { origin: this.#origin, host: this.#options.identity.id };
  }

  #notSigned(what: 'claim' | 'batch'): HostRefusal {
    return new HostRefusal(
      'NOT_SIGNED',
      `The ${what} is not signed with the key that '${this.#origin}' first came with. Is this the core's own keyring?`,
    );
  }

  #sign(stored: Pick<StoredReplica, 'sequence' | 'epoch' | 'peaks'>, challenge?: string): SignedHead {
    const { identity, clock } = this.#options;
    const { sequence, epoch, peaks } = stored;
    return signHead(identity.signingKey, {
      tag: 'head/v1',
      host: identity.id,
      origin: this.#origin,
      epoch,
      sequence,
      root: toHex(new MerkleFrontier(sha256, sequence, peaks).root()),
      ts: clock.now().getTime(),
      ...(challenge === undefined ? {} : { challenge }),
    });
  }
}

const EMPTY = { sequence: 0, epoch: 0, peaks: [] };

/** An envelope is bound to its type and time, so it is the same event when its address is the same. */
function isSame(there: readonly StoredAddress[], { sequence, eid }: AddressedEvent): boolean {
  const stored = there.find((address) => address.sequence === sequence);
  return stored !== undefined && equalBytes(stored.eid, eid);
}

function missing(sequence: number): HostRefusal {
  return new HostRefusal('DAMAGED', `Event ${sequence} is missing here.`, { sequence });
}

function fenced(granted: SignedGrant): HostRefusal {
  const message = `Another writer (${granted.writer}) was granted epoch ${granted.epoch} here.`;
  return new HostRefusal('FENCED', message, { granted });
}

function notClaimed(epoch: number): HostRefusal {
  return new HostRefusal('NOT_CLAIMED', `Epoch ${epoch} was not claimed here.`);
}
