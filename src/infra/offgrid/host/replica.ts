import type { KeyObject } from 'node:crypto';
import pLimit from 'p-limit';
import { MerkleFrontier } from '../../../domain/merkle.js';
import type { SignedHead } from '../../../domain/replication.js';
import type { Clock } from '../../clock.js';
import { equalBytes, toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { publicKeyOf } from '../../crypto/signing.js';
import { isBatchSigned, type AddressedEvent, type decodeBatch } from '../wire/batch.js';
import { isClaimSigned, type Claim } from '../wire/claim.js';
import { signHead } from '../wire/head.js';
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
  /** The most bytes the host keeps of all origins. */
  readonly budgetBytes: number;
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

  /** Requests under way or waiting. */
  get pending(): number {
    return this.#inTurn.activeCount + this.#inTurn.pendingCount;
  }

  /** Grants a claim, which is on the disk when this returns. @throws HostRefusal NOT_SIGNED, FENCED */
  claim(claim: Claim): Promise<SignedHead> {
    return this.#inTurn(async () => {
      const { store } = this.#options;
      const stored = await store.load(this.#origin);
      const key = this.#pinned(stored, claim.key);
      if (!isClaimSigned(claim, this.#origin, key)) throw this.#notSigned('claim');
      const { epoch, writer } = claim;
      const granted = stored?.grant;
      if (granted !== undefined && (epoch < granted.epoch || (epoch === granted.epoch && writer !== granted.writer)))
        throw fenced(granted.epoch, granted.writer);
      if (granted === undefined || epoch > granted.epoch) {
        await store.grant(this.#origin, claim.key, { epoch, writer });
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
      if (!isBatchSigned(batch, this.#origin, this.#pinned(stored, stored.key))) throw this.#notSigned('batch');
      const { grant } = stored;
      if (batch.epoch < grant.epoch) throw fenced(grant.epoch, grant.writer);
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
  async rootAt(sequence: number): Promise<string> {
    const stored = await this.#known();
    if (sequence > stored.sequence)
      throw new HostRefusal('NOT_FOUND', `There are ${stored.sequence} events of '${this.#origin}' here.`);
    return toHex((await this.#frontierAt(sequence)).root());
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
    const there = await store.addresses(this.#origin, from, Math.min(last, stored.sequence));
    const conflict = there.find((address, i) => !isSame(address, events[i]));
    if (conflict?.epoch === epoch) {
      await store.keepFork(this.#origin, epoch, events);
      throw new HostRefusal(
        'FORKED',
        `Event ${conflict.sequence} is another here, under the same epoch (${epoch}): two cores write as one. Both are kept.`,
        { sequence: conflict.sequence },
      );
    }
    // Epochs never fall along a log: what lies beyond is older as a whole, or not at all.
    const isStaleBeyond = last < stored.sequence && stored.epoch < epoch;
    const setAsideFrom = conflict?.sequence ?? (isStaleBeyond ? last + 1 : undefined);
    const kept = Math.min(stored.sequence, (setAsideFrom ?? Infinity) - 1);
    const added = events.slice(Math.max(0, kept - from + 1));
    this.#assertFits(added);
    const frontier =
      setAsideFrom === undefined
        ? new MerkleFrontier(sha256, stored.sequence, stored.peaks)
        : await this.#frontierAt(kept);
    for (const { eid } of added) frontier.append(eid);
    const ownsLast = last >= frontier.size;
    const head = { sequence: frontier.size, epoch: ownsLast ? epoch : stored.epoch, peaks: frontier.peaks };
    await store.write(this.#origin, {
      ...(setAsideFrom === undefined ? {} : { setAsideFrom }),
      reshipped: events.slice(0, Math.max(0, kept - from + 1)),
      added,
      epoch,
      head,
    });
    return { ...stored, ...head };
  }

  #assertFits(added: readonly AddressedEvent[]): void {
    const { store, budgetBytes } = this.#options;
    const bytes = added.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
    if (store.usedBytes + bytes <= budgetBytes || bytes === 0) return;
    throw new HostRefusal(
      'FULL',
      `${bytes} more bytes do not fit: ${store.usedBytes} of ${budgetBytes} are used. Nothing was taken, nothing was dropped.`,
    );
  }

  async #frontierAt(size: number): Promise<MerkleFrontier> {
    const frontier = new MerkleFrontier(sha256);
    while (frontier.size < size) {
      const from = frontier.size + 1;
      const page = await this.#options.store.addresses(this.#origin, from, Math.min(size, from + PAGE - 1));
      if (page.length === 0) throw new HostRefusal('DAMAGED', `Event ${from} is missing.`, { sequence: from });
      for (const { eid } of page) frontier.append(eid);
    }
    return frontier;
  }

  #pinned(stored: StoredReplica | undefined, given: string): KeyObject {
    const key = publicKeyOf(stored?.key ?? given);
    if (key === undefined || (stored !== undefined && stored.key !== given)) throw this.#notSigned('claim');
    return key;
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

function isSame(stored: StoredAddress, event: AddressedEvent | undefined): boolean {
  if (event === undefined) return false;
  return stored.etype === event.etype && stored.ts === event.ts && equalBytes(stored.eid, event.eid);
}

function fenced(epoch: number, writer: string): HostRefusal {
  const message = `Another writer (${writer}) was granted epoch ${epoch} here.`;
  return new HostRefusal('FENCED', message, { granted: { epoch, writer } });
}

function notClaimed(epoch: number): HostRefusal {
  return new HostRefusal('NOT_CLAIMED', `Epoch ${epoch} was not claimed here.`);
}
