import type { KeyObject } from 'node:crypto';
import pLimit from 'p-limit';
import { equalBytes } from '../../crypto/bytes.js';
import type { Clock } from '../../platform/clock.js';
import type { Roots } from '../protocol/answers.js';
import type { Batch } from '../protocol/batch.js';
import type { ClaimBody } from '../protocol/claim-body.js';
import { openClaim } from '../protocol/claim.js';
import { encodeEntry, entryOf, leafHash } from '../protocol/entry.js';
import type { EventHole, NumberedEvent, SealedEvent } from '../protocol/event.js';
import type { StoredEvent } from '../protocol/events-answer.js';
import type { Fingerprint, Origin, Sequence } from '../protocol/fields.js';
import { signHead } from '../protocol/head.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { DamagedQuery, EntriesQuery, EventsQuery, HistoryName } from '../protocol/queries.js';
import type { Opened, SignedKind, SignedThing } from '../protocol/signed.js';
import { openTree } from '../protocol/tree.js';
import type { VerifyKey } from '../protocol/verify-key.js';
import { decideBatch, type ReceivedBatch, type BatchDecision } from './batch-decision.js';
import { HistoryFrontiers } from './history-frontiers.js';
import { entryBytesOf, KeptLeaves } from './kept-leaves.js';
import { arePlaced, placeAnew, verified, type OpenClaim, type OpenTree, type OriginState } from './origin-state.js';
import { RefusalError } from './refusal-error.js';
import type { LeafEvent, ReplicaStore } from './replica-store.js';

/** The most damaged events among which those that come back are looked for. */
const MAX_DOUBTED = 100_000;
/** What a batch is refused for by what is stored here, which may be damaged. */
const DECIDED_BY_LEAVES: ReadonlySet<string> = new Set(['OTHER', 'COMMITTED']);

/** Who the host is. */
export interface HostIdentity {
  /** The fingerprint of its verify key. */
  readonly id: Fingerprint;
  readonly signingKey: KeyObject;
}

/** What a replica is kept with. */
export interface ReplicaOptions {
  readonly store: ReplicaStore;
  readonly identity: HostIdentity;
  readonly clock: Clock;
  /** Keys by configuration (OFFGRID_ORIGINS): when there are any, no other origin and no other key is taken. */
  readonly origins: ReadonlyMap<Origin, VerifyKey>;
}

/** How things stand with an origin, for metrics. */
export interface ReplicaStatus {
  /** Events of the head. */
  readonly sequence: Sequence;
  /** Events that are staged beyond what they have in common with the head. */
  readonly staged: number;
  readonly damaged: number;
  /** When the tree of the head was signed, by the core's clock, in milliseconds since 1970. */
  readonly signedAt: number | undefined;
}

/**
 * The events of one origin on a host, and the rules by which they come to be there.
 *
 * A host decides nothing about order. Each batch carries a tree that the origin has signed, and it is taken when the
 * host's own root after it is that tree's. What does not reach the tree's base is staged beside the head; a history that
 * does becomes the head as a whole, so a head never falls in (line, epoch, sequence).
 */
export class Replica {
  readonly #origin: Origin;
  readonly #options: ReplicaOptions;
  readonly #frontiers: HistoryFrontiers;
  readonly #leaves: KeptLeaves;
  /** One change at a time: each is judged on what the one before left. */
  readonly #inTurn = pLimit(1);
  /** Undefined while it is not known what is stored. */
  #state: OriginState | undefined;
  #damaged = 0;

  constructor(origin: Origin, options: ReplicaOptions) {
    this.#origin = origin;
    this.#options = options;
    this.#frontiers = new HistoryFrontiers(origin, options.store);
    this.#leaves = new KeptLeaves(origin, options.store, this.#frontiers);
  }

  /**
   * Grants a claim, which is on the disk when this returns; pins the key of an origin that has none.
   * @param request SHA-256 of the body, which the head names
   * @throws RefusalError NOT_SIGNED, BAD_REQUEST, FENCED, FULL
   */
  claim({ key, claim: signed }: ClaimBody, request: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      this.#assertPinned(key, state);
      const claim = this.#opened(() => openClaim(signed, key), 'claim');
      const { epoch, writer, origin, host } = claim.value;
      if (origin !== this.#origin || host !== this.#options.identity.id) throw this.#notSigned('claim');
      const granted = state?.claim ?? null;
      if (granted !== null) {
        const { value } = granted;
        if (value.epoch > epoch || (value.epoch === epoch && value.writer !== writer)) throw fenced(granted);
      }
      if (granted?.value.epoch !== epoch) await this.#write(() => this.#options.store.grant(this.#origin, key, signed));
      return this.#sign(request);
    });
  }

  /**
   * Takes a batch, which is on the disk when this returns. Nothing has changed when it throws.
   * @param request SHA-256 of the body, which the head names
   * @throws RefusalError NOT_SIGNED, BAD_REQUEST, NOT_CLAIMED, FENCED, GAP, OTHER, FORKED, OLDER, COMMITTED, FULL, DAMAGED
   */
  append(batch: Batch, request: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      if (state === undefined) throw notClaimed(`Nothing of '${this.#origin}' was claimed here.`);
      this.#assertPinned(state.key, state);
      await this.#take({ ...batch, tree: this.#claimedTree(batch, state), events: batch.events.map(leafOf) }, state);
      return this.#sign(request);
    });
  }

  /** The head, for one who asks without writing. Of an origin that is not known here, it has nulls. */
  head(challenge: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      await this.#load();
      return this.#sign(challenge);
    });
  }

  /** The roots over the first events of each history; null for a history that has fewer. */
  roots(at: Sequence): Promise<Roots> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      const rootOf = async (of: HistoryName) => {
        if (state === undefined || state[of] === null || at > state.places[of].sequence) return null;
        return (await this.#frontiers.at(at, of, state.places)).root();
      };
      return { head: await rootOf('head'), staged: await rootOf('staged') };
    });
  }

  /** The entries of a history, 42 bytes each; zeros for one that is not what its leaf says. @throws RefusalError NOT_FOUND */
  async entries(page: EntriesQuery): Promise<readonly Uint8Array[]> {
    await this.#assertKnown();
    return (await this.#options.store.rows(this.#origin, page)).map(entryBytesOf);
  }

  /** The events of a history, `null` for the content of each that is damaged here. @throws RefusalError NOT_FOUND */
  async events({ bytes, ...page }: EventsQuery): Promise<readonly StoredEvent[]> {
    await this.#assertKnown();
    const events = await this.#options.store.events(this.#origin, page, bytes);
    if (events.some(({ sealed }) => sealed === null)) await this.recount();
    return events;
  }

  /** The numbers of the head's events that are known to be damaged. @throws RefusalError NOT_FOUND */
  async damaged({ after, limit }: DamagedQuery): Promise<readonly Sequence[]> {
    await this.#assertKnown();
    return this.#options.store.damaged(this.#origin, after, limit);
  }

  /**
   * Puts back events that are damaged here. Each proves itself by the leaf that is kept for its number; where leaves are
   * damaged, all of them together by the head's root.
   * @returns how many are whole now
   * @throws RefusalError NOT_FOUND, FULL
   */
  mend(events: readonly NumberedEvent[]): Promise<number> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      if (state === undefined) throw this.#notFound();
      const leafed = events.map((event) => ({ ...leafOf(event), sequence: event.sequence }));
      const leaves = [...new Map(leafed.map((event) => [event.sequence, event])).values()];
      const mended = new Set(await this.#options.store.mend(this.#origin, leaves));
      if (this.#damaged > 0) {
        // One that is whole in what is staged may still be damaged in the head.
        const missing = new Set(await this.#options.store.damaged(this.#origin, 0, MAX_DOUBTED));
        const doubted = leaves.filter(({ sequence }) => missing.has(sequence));
        const isMended = await this.#leaves.mend(doubted, state);
        for (const { sequence } of doubted) mended[isMended ? 'add' : 'delete'](sequence);
      }
      await this.#countDamaged();
      return mended.size;
    });
  }

  /** Holds the leaves that are kept to the roots of their trees, and mends those that it can. @returns whether they are right now */
  checkLeaves(): Promise<boolean> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      return state === undefined || (await this.#checked(state)) !== 'DAMAGED';
    });
  }

  /** Counts the damaged events again: somebody has looked at them. */
  recount(): Promise<void> {
    return this.#inTurn(() => this.#countDamaged());
  }

  async status(): Promise<ReplicaStatus> {
    const state = await this.#current();
    return {
      sequence: state?.places.head.sequence ?? 0,
      staged: state === undefined ? 0 : Math.max(0, state.places.staged.sequence - state.places.common),
      damaged: this.#damaged,
      signedAt: state?.head?.value.ts,
    };
  }

  /** Whether anything of the origin is kept here, as far as anybody has asked. */
  get isKept(): boolean {
    return this.#state !== undefined;
  }

  /** Forgets what can be computed again. */
  rest(): void {
    this.#frontiers.forget(0);
    this.#leaves.forget();
  }

  async #take(batch: ReceivedBatch, state: OriginState): Promise<void> {
    const { store } = this.#options;
    const decision = await this.#decide(batch, state);
    if ('forked' in decision) {
      await store.keepFork(this.#origin, batch.tree.signed);
      throw decision.forked;
    }
    if ('taken' in decision) {
      const { taken } = decision;
      await this.#write(() => store.change(this.#origin, taken), batch.tree, Math.min(taken.keep, taken.before.common));
    } else if (Object.keys(decision.renewed).length > 0) {
      const { sequence } = state.places.head;
      await this.#write(() => store.renew(this.#origin, decision.renewed), batch.tree, sequence);
    }
    if (this.#damaged > 0) await this.#mendFrom(batch);
  }

  /** A batch is not refused for what is damaged here. @throws RefusalError */
  async #decide(batch: ReceivedBatch, state: OriginState): Promise<BatchDecision> {
    const { store } = this.#options;
    const decide = (known: OriginState) =>
      decideBatch(batch, { origin: this.#origin, state: known, store, frontiers: this.#frontiers });
    const decision = await decide(state).catch((error: unknown) => {
      if (error instanceof RefusalError && DECIDED_BY_LEAVES.has(error.code)) return error;
      throw error;
    });
    if (!(decision instanceof RefusalError) && !('forked' in decision)) return decision;
    const leaves = await this.#checked(state);
    if (leaves === 'MENDED') return decide((await this.#load()) ?? state);
    if (leaves === 'DAMAGED') {
      const message = `The events of '${this.#origin}' here are not those that the origin has signed: some are damaged.`;
      throw new RefusalError({ code: 'DAMAGED', message });
    }
    if (decision instanceof RefusalError) throw decision;
    return decision;
  }

  /** Holds what is kept to its trees, that of the head first: what is staged goes on from it. */
  async #checked(state: OriginState): Promise<'RIGHT' | 'MENDED' | 'DAMAGED'> {
    const head = await this.#leaves.check(state);
    const staged = head === 'DAMAGED' ? 'RIGHT' : await this.#leaves.checkStaged(state);
    if (staged === 'GIVEN UP') await this.#reload();
    else await this.#countDamaged();
    return staged === 'RIGHT' ? head : 'MENDED';
  }

  /** What comes again may be what was damaged here. */
  async #mendFrom({ from, events }: ReceivedBatch): Promise<void> {
    const { store } = this.#options;
    const damaged = new Set(await store.damaged(this.#origin, from - 1, Math.max(1, events.length)));
    const again = events
      .flatMap(({ sealed, ...event }, i) => (sealed === null ? [] : [{ ...event, sealed, sequence: from + i }]))
      .filter(({ sequence }) => damaged.has(sequence));
    await store.mend(this.#origin, again);
    await this.#countDamaged();
  }

  /** @throws RefusalError NOT_SIGNED, BAD_REQUEST, NOT_CLAIMED, FENCED */
  #claimedTree({ from, tree: signed, events }: Batch, { key, claim }: OriginState): OpenTree {
    const tree = this.#opened(() => openTree(signed, key), 'tree');
    const { origin, sequence, epoch, writer } = tree.value;
    if (origin !== this.#origin) throw this.#notSigned('tree');
    if (sequence !== from + events.length - 1)
      throw badRequest(`${events.length} events from ${from} on do not end at ${sequence}, as the tree does.`);
    if (claim === null || claim.value.epoch < epoch) throw notClaimed(`Epoch ${epoch} was not claimed here.`);
    if (claim.value.epoch > epoch) throw fenced(claim);
    if (claim.value.writer !== writer) throw notClaimed(`Epoch ${epoch} was claimed by another writer here.`);
    return tree;
  }

  /** What is known, without waiting where it is. */
  async #current(): Promise<OriginState | undefined> {
    return this.#state ?? this.#inTurn(() => this.#load());
  }

  /** Only in turn: what was read before a change must not be taken for what is there after it. */
  async #load(): Promise<OriginState | undefined> {
    return this.#state ?? this.#reload();
  }

  async #reload(tree?: OpenTree, before?: OriginState): Promise<OriginState | undefined> {
    const { store } = this.#options;
    const stored = await store.load(this.#origin);
    const state = stored && verified(stored, [before?.head, before?.staged, before?.known, tree]);
    this.#state = state === undefined || arePlaced(state) ? state : await this.#placed(state);
    await this.#countDamaged();
    return this.#state;
  }

  async #placed(state: OriginState): Promise<OriginState> {
    this.rest();
    return placeAnew(state, this.#origin, this.#options.store, this.#frontiers);
  }

  /** Writes, and knows afterwards what is there; whatever becomes of it, nothing is taken for known that is not there. */
  async #write(write: () => Promise<void>, tree?: OpenTree, beyond = 0): Promise<void> {
    const before = this.#state;
    this.#state = undefined;
    try {
      await write();
      this.#frontiers.forget(beyond);
    } catch (error) {
      this.#frontiers.forget(0);
      throw error;
    }
    await this.#reload(tree, before);
  }

  async #countDamaged(): Promise<void> {
    this.#damaged = this.#state === undefined ? 0 : await this.#options.store.countDamaged(this.#origin);
  }

  async #assertKnown(): Promise<void> {
    if ((await this.#current()) === undefined) throw this.#notFound();
  }

  #notFound(): RefusalError {
    return new RefusalError({ code: 'NOT_FOUND', message: `There is nothing of '${this.#origin}' here.` });
  }

  /** @throws RefusalError NOT_SIGNED unless a key is the one that is pinned, by configuration too */
  #assertPinned(key: VerifyKey, state: OriginState | undefined): void {
    const { origins } = this.#options;
    const configured = origins.get(this.#origin);
    if (origins.size > 0 && configured === undefined) {
      const message = `This host takes nothing of '${this.#origin}': its OFFGRID_ORIGINS does not name it.`;
      throw new RefusalError({ code: 'NOT_SIGNED', message });
    }
    for (const pinned of [configured, state?.key])
      if (pinned !== undefined && !equalBytes(pinned, key)) throw this.#notSigned('claim');
  }

  /** @throws RefusalError NOT_SIGNED, BAD_REQUEST */
  #opened<Kind extends SignedKind, Value>(open: () => Opened<Kind, Value>, kind: Kind): Opened<Kind, Value> {
    try {
      return open();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw error.code === 'NOT_SIGNED' ? this.#notSigned(kind) : badRequest(error.message);
    }
  }

  #notSigned(kind: SignedKind): RefusalError {
    const message = `The ${kind} is not one for this host and '${this.#origin}', signed with the key that is pinned here. Is this the core's own keyring?`;
    return new RefusalError({ code: 'NOT_SIGNED', message });
  }

  #sign(request: Uint8Array): SignedThing<'head'> {
    const { identity, clock } = this.#options;
    const state = this.#state;
    const head = {
      ts: clock.now().getTime(),
      key: state?.key ?? this.#options.origins.get(this.#origin) ?? null,
      host: identity.id,
      tree: state?.head?.signed ?? null,
      claim: state?.claim?.signed ?? null,
      origin: this.#origin,
      staged: state?.staged?.signed ?? null,
      damaged: this.#damaged,
      request,
    };
    return signHead(head, identity.signingKey);
  }
}

function leafOf<E extends SealedEvent | EventHole>(event: E): LeafEvent & Pick<E, 'sealed'> {
  const entry = entryOf(event);
  return { ...entry, sealed: event.sealed, leaf: leafHash(encodeEntry(entry)) };
}

function fenced({ signed, value }: OpenClaim): RefusalError {
  const message = `Another writer (${value.writer}) was granted epoch ${value.epoch} here.`;
  return new RefusalError({ code: 'FENCED', message, claim: signed });
}

function notClaimed(message: string): RefusalError {
  return new RefusalError({ code: 'NOT_CLAIMED', message });
}

function badRequest(message: string): RefusalError {
  return new RefusalError({ code: 'BAD_REQUEST', message });
}
