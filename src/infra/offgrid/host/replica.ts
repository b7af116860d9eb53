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

/** The maximum number of damaged events that a mend is compared with. */
const MAX_DOUBTED = 100_000;
/** The refusals that follow from stored leaves, which may be damaged. */
const DECIDED_BY_LEAVES: ReadonlySet<string> = new Set(['OTHER', 'COMMITTED']);

/** The identity with which a host signs. */
export interface HostIdentity {
  /** The fingerprint of its verify key. */
  readonly id: Fingerprint;
  readonly signingKey: KeyObject;
}

/** The dependencies of a replica. */
export interface ReplicaOptions {
  readonly store: ReplicaStore;
  readonly identity: HostIdentity;
  readonly clock: Clock;
  /** Keys from OFFGRID_ORIGINS. If there are any, no other origin and no other key is accepted. */
  readonly origins: ReadonlyMap<Origin, VerifyKey>;
}

/** The status of an origin, for metrics. */
export interface ReplicaStatus {
  /** The number of events of the head. */
  readonly sequence: Sequence;
  /** The number of staged events beyond those that are shared with the head. */
  readonly staged: number;
  readonly damaged: number;
  /** The time at which the head's tree was signed, by the core's clock, in milliseconds since 1970. */
  readonly signedAt: number | undefined;
}

/**
 * The events of one origin on a host, and the rules by which the host takes them.
 *
 * A host decides nothing about order. Each batch carries a tree that the origin has signed, and is taken only if the host's
 * own root after it equals the root of that tree. A history that does not reach its tree's base is staged beside the head;
 * one that does becomes the head as a whole, so a head never falls in (line, epoch, sequence).
 */
export class Replica {
  readonly #origin: Origin;
  readonly #options: ReplicaOptions;
  readonly #frontiers: HistoryFrontiers;
  readonly #leaves: KeptLeaves;
  /** One change at a time: each is decided on the state that the previous one left. */
  readonly #inTurn = pLimit(1);
  /** Undefined while the stored state is not known. */
  #state: OriginState | undefined;
  #damaged = 0;

  constructor(origin: Origin, options: ReplicaOptions) {
    this.#origin = origin;
    this.#options = options;
    this.#frontiers = new HistoryFrontiers(origin, options.store);
    this.#leaves = new KeptLeaves(origin, options.store, this.#frontiers);
  }

  /**
   * Grants a claim, which is on the disk when this resolves; pins the key of an origin that has none.
   * @param request SHA-256 of the body, which the head names
   * @throws RefusalError NOT_SIGNED, BAD_REQUEST, FENCED, FULL
   */
  claim({ key, claim: signed }: ClaimBody, request: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      this.#assertPinned(key, state, 'claim');
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
   * Takes a batch, which is on the disk when this resolves. When it throws, nothing has changed except for evidence.
   * @param request SHA-256 of the body, which the head names
   * @throws RefusalError NOT_SIGNED, BAD_REQUEST, NOT_CLAIMED, FENCED, GAP, OTHER, FORKED, OLDER, COMMITTED, FULL, DAMAGED
   */
  append(batch: Batch, request: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      if (state === undefined) throw notClaimed(`Origin '${this.#origin}' was not claimed at this host.`);
      this.#assertPinned(state.key, state, 'tree');
      await this.#take({ ...batch, tree: this.#claimedTree(batch, state), events: batch.events.map(leafOf) }, state);
      return this.#sign(request);
    });
  }

  /** The head, in answer to a GET; tree, claim and staged tree are null for an origin that is not known. */
  head(challenge: Uint8Array): Promise<SignedThing<'head'>> {
    return this.#inTurn(async () => {
      await this.#load();
      return this.#sign(challenge);
    });
  }

  /** The roots over the first `at` events of each history; null for a history that has fewer. */
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

  /** The entries of a history, 42 bytes each; zeros for one that does not match its leaf. @throws RefusalError NOT_FOUND */
  async entries(page: EntriesQuery): Promise<readonly Uint8Array[]> {
    await this.#assertKnown();
    return (await this.#options.store.rows(this.#origin, page)).map(entryBytesOf);
  }

  /** The events of a history, with `null` for each damaged content. @throws RefusalError NOT_FOUND */
  async events({ bytes, ...page }: EventsQuery): Promise<readonly StoredEvent[]> {
    await this.#assertKnown();
    const events = await this.#options.store.events(this.#origin, page, bytes);
    if (events.some(({ sealed }) => sealed === null)) await this.recount();
    return events;
  }

  /** The sequences of the head's events that are known to be damaged. @throws RefusalError NOT_FOUND */
  async damaged({ after, limit }: DamagedQuery): Promise<readonly Sequence[]> {
    await this.#assertKnown();
    return this.#options.store.damaged(this.#origin, after, limit);
  }

  /**
   * Restores damaged events. The leaf stored for its sequence proves an event; where leaves are damaged, the head's root
   * proves all of them together.
   * @returns the number of the given events that are intact now
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
        // An event that is intact in the staged history may still be damaged in the head.
        const missing = new Set(await this.#options.store.damaged(this.#origin, 0, MAX_DOUBTED));
        const doubted = leaves.filter(({ sequence }) => missing.has(sequence));
        const isMended = await this.#leaves.mend(doubted, state);
        for (const { sequence } of doubted) mended[isMended ? 'add' : 'delete'](sequence);
      }
      await this.#countDamaged();
      return mended.size;
    });
  }

  /** Checks the stored leaves against the roots of their trees, and mends what it can. @returns whether they are right now */
  checkLeaves(): Promise<boolean> {
    return this.#inTurn(async () => {
      const state = await this.#load();
      return state === undefined || (await this.#checked(state)) !== 'DAMAGED';
    });
  }

  /** Counts the damaged events again, after a read may have found more. */
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

  /** Whether the origin is known at this host; false before its state was first loaded. */
  get isKept(): boolean {
    return this.#state !== undefined;
  }

  /** Drops state that can be computed again. */
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

  /** Decides on a batch; damaged leaves never cause OTHER, COMMITTED or FORKED. @throws RefusalError */
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
      const message = `Some events of '${this.#origin}' on this host are damaged: they are not those that the origin signed.`;
      throw new RefusalError({ code: 'DAMAGED', message });
    }
    if (decision instanceof RefusalError) throw decision;
    return decision;
  }

  /** Checks the stored leaves against their trees, the head first, because the staged history continues it. */
  async #checked(state: OriginState): Promise<'RIGHT' | 'MENDED' | 'DAMAGED'> {
    const head = await this.#leaves.check(state);
    const staged = head === 'DAMAGED' ? 'RIGHT' : await this.#leaves.checkStaged(state);
    if (staged === 'GIVEN UP') await this.#reload();
    else await this.#countDamaged();
    return staged === 'RIGHT' ? head : 'MENDED';
  }

  /** Restores damaged events that a batch brings again. */
  async #mendFrom({ from, events }: ReceivedBatch): Promise<void> {
    const { store } = this.#options;
    const damaged = new Set(await store.damaged(this.#origin, from - 1, Math.max(1, events.length)));
    const again = events
      .flatMap(({ sealed, ...event }, i) => (sealed === null ? [] : [{ ...event, sealed, sequence: from + i }]))
      .filter(({ sequence }) => damaged.has(sequence));
    await store.mend(this.#origin, again);
    await this.#countDamaged();
  }

  /** The verified tree of a batch. @throws RefusalError NOT_SIGNED, BAD_REQUEST, NOT_CLAIMED, FENCED */
  #claimedTree({ from, tree: signed, events }: Batch, { key, claim }: OriginState): OpenTree {
    const tree = this.#opened(() => openTree(signed, key), 'tree');
    const { origin, sequence, epoch, writer } = tree.value;
    if (origin !== this.#origin) throw this.#notSigned('tree');
    if (sequence !== from + events.length - 1)
      throw badRequest(`${events.length} events from ${from} on do not end at ${sequence}, where the tree ends.`);
    if (claim === null || claim.value.epoch < epoch) throw notClaimed(`Epoch ${epoch} was not claimed at this host.`);
    if (claim.value.epoch > epoch) throw fenced(claim);
    if (claim.value.writer !== writer) throw notClaimed(`Another writer claimed epoch ${epoch} at this host.`);
    return tree;
  }

  /** The state; if it is known, without waiting for changes in progress. */
  async #current(): Promise<OriginState | undefined> {
    return this.#state ?? this.#inTurn(() => this.#load());
  }

  /** Only in turn, so that a state that was read before a change is not used after it. */
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

  /** Writes, and loads the state again. If the write fails, the state is unknown until it is loaded again. */
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
    return new RefusalError({ code: 'NOT_FOUND', message: `This host keeps nothing of '${this.#origin}'.` });
  }

  /** Checks a key against the pinned and the configured key. @throws RefusalError NOT_SIGNED when it is another */
  #assertPinned(key: VerifyKey, state: OriginState | undefined, kind: SignedKind): void {
    const { origins } = this.#options;
    const configured = origins.get(this.#origin);
    if (origins.size > 0 && configured === undefined) {
      const message = `This host does not accept '${this.#origin}': its OFFGRID_ORIGINS does not name that origin.`;
      throw new RefusalError({ code: 'NOT_SIGNED', message });
    }
    for (const pinned of [configured, state?.key])
      if (pinned !== undefined && !equalBytes(pinned, key)) throw this.#notSigned(kind);
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
    const message = `The ${kind} is not for this host and '${this.#origin}', or not signed with the key that is pinned here. Check that the core has its own keyring.`;
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
  const message = `This host granted epoch ${value.epoch} to another writer (${value.writer}).`;
  return new RefusalError({ code: 'FENCED', message, claim: signed });
}

function notClaimed(message: string): RefusalError {
  return new RefusalError({ code: 'NOT_CLAIMED', message });
}

function badRequest(message: string): RefusalError {
  return new RefusalError({ code: 'BAD_REQUEST', message });
}
