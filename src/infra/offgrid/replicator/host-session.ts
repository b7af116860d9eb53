import type { KeyObject } from 'node:crypto';
import { MerkleFrontier } from '../../../domain/merkle.js';
import { isServed, type PlacedPolicy, type PolicyHost } from '../../../domain/replication.js';
import { equalBytes, toHex } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import { sha256 } from '../../crypto/sha256.js';
import { publicKeyOf } from '../../crypto/signing.js';
import { encodeBatch, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, type AddressedEvent } from '../wire/batch.js';
import { signClaim } from '../wire/claim.js';
import type { Election } from './election.js';
import { HostError, type HostPort } from './host-port.js';
import { assertTrue, Lie } from './lie.js';
import type { OwnTree } from './own-tree.js';
import type { KnownHost, Time } from './ports.js';
import type { SealedWindow } from './sealed-window.js';
import type { SignedHead } from '../wire/head.js';

/** The first batch to a host, in bytes: the way to it may be narrow. */
const FIRST_BATCH_BYTES = 64 * 1024;
/** How often a host that has everything is asked whether it is there, in milliseconds. */
const HEARTBEAT_MS = 10_000;
/** A batch answered within this is followed by one of twice its size, in milliseconds. */
const QUICK_MS = 2_000;

/** What a session works with. */
export interface SessionGround {
  readonly origin: string;
  readonly root: RootKey;
  readonly election: Election;
  readonly window: SealedWindow;
  readonly tree: OwnTree;
  readonly time: Time;
  readonly newChallenge: () => string;
  readonly known: (host: string) => KnownHost | undefined;
  /** The policies in force and to come. */
  readonly policies: () => readonly PlacedPolicy[];
  /** The sequence of the last travelling event. */
  readonly last: () => number;
  /** Whether an envelope was sealed by this origin for a place. */
  readonly isOwn: (event: { sequence: number; etype: number; ts: number; sealed: Uint8Array }) => Promise<boolean>;
  /** More events, or another state of things. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
  /** A host has signed for what is ours up to here. */
  readonly reached: (host: string, head: SignedHead) => void;
}

/** Who is told how a session goes. */
export interface SessionNews {
  /** The host has granted the claim. */
  readonly onMet: () => void;
  /** It has signed for a batch, or has everything. */
  readonly onSupplied: () => Promise<void>;
}

/** A batch that is ready to go. */
interface Prepared {
  readonly events: readonly AddressedEvent[];
  readonly body: Uint8Array;
  /** The tree of what the host has once it has taken it. */
  readonly tree: MerkleFrontier;
  /** How many events there were when it was put together. */
  readonly before: number;
}

/**
 * One conversation with one host: claim, find what it has of ours, ship the rest, and go on as events come. It ends with
 * an error, with the signal, when another epoch has begun, or when the host is to be left alone.
 */
export class HostSession {
  readonly #host: PolicyHost;
  readonly #key: KeyObject;
  readonly #port: HostPort;
  readonly #ground: SessionGround;
  readonly #epoch: number;
  #maxBytes = FIRST_BATCH_BYTES;

  constructor(host: PolicyHost, port: HostPort, ground: SessionGround) {
    const key = publicKeyOf(host.verifyKey);
    if (key === undefined) throw new Lie('its verify key is none');
    this.#host = host;
    this.#key = key;
    this.#port = port;
    this.#ground = ground;
    this.#epoch = ground.election.epoch;
  }

  /**
   * @param signedFor what the host has signed for before
   * @throws HostError, Lie
   */
  async run(signedFor: number, { onMet, onSupplied }: SessionNews, signal: AbortSignal): Promise<void> {
    const { election, changed, reached, last } = this.#ground;
    const head = await this.#claim();
    if (head.sequence < signedFor)
      throw new Lie(`it has ${head.sequence} events, and had signed for ${signedFor}: it has lost some, or goes back`);
    let tree = await this.#inCommon(head);
    const common = tree.size;
    onMet();
    const isWhole = common === head.sequence;
    if (isWhole && head.epoch === this.#epoch) reached(this.#host.host, head);
    await election.granted(this.#host.host, this.#epoch, { head, common }, this.#ground.policies());
    while (!election.isElected && this.#goesOn(signal)) await changed(signal);
    // The last event in common is shipped again: from then on it, and so the host's whole tail, is of this epoch.
    let overlap = common > 0 && (!isWhole || head.epoch < this.#epoch) ? 1 : 0;
    let next = this.#prepare(tree, overlap);
    while (this.#goesOn(signal)) {
      const batch = await next;
      if (batch.events.length === 0) {
        if (batch.before > tree.size) throw new Error(`the log does not give event ${tree.size + 1}`);
        await onSupplied();
        if (last() === tree.size && this.#goesOn(signal)) await this.#idle(tree, signal);
        next = this.#prepare(tree, overlap);
        continue;
      }
      // The next batch is made while this one is under way.
      const shipping = this.#ship(batch);
      next = this.#prepare(batch.tree);
      reached(this.#host.host, await shipping);
      ({ tree } = batch);
      overlap = 0;
      await onSupplied();
    }
  }

  /** Waits for news; when there are none, the claim is made again now and then: is the host there, and are we its writer? */
  async #idle(tree: MerkleFrontier, signal: AbortSignal): Promise<void> {
    const { changed, time } = this.#ground;
    const waiting = new AbortController();
    const both = AbortSignal.any([signal, waiting.signal]);
    const isNews = await Promise.race([
      changed(both).then(() => true),
      time.sleep(HEARTBEAT_MS, both).then(() => false),
    ]);
    waiting.abort();
    if (isNews || !this.#goesOn(signal)) return;
    const head = await this.#claim();
    if (tree.size > 0 && (head.sequence !== tree.size || head.root !== toHex(tree.root())))
      throw new Lie(`it signs for something else than events 1–${tree.size}, which it had`);
  }

  /** Makes the batch that follows a tree. @param overlap how many of its last events are shipped again */
  #prepare(tree: MerkleFrontier, overlap = 0): Promise<Prepared> {
    const { origin, root, window, last } = this.#ground;
    const prepare = async (): Promise<Prepared> => {
      const before = last();
      const events = await window.take(tree.size - overlap, MAX_BATCH_EVENTS, this.#maxBytes);
      if (events.length === 0) return { events, body: new Uint8Array(), tree, before };
      const grown = await this.#ground.tree.grown(tree, events.slice(overlap));
      const body = encodeBatch(root.signingKey, { origin, host: this.#host.host }, this.#epoch, events);
      return { events, body, tree: grown, before };
    };
    const preparing = prepare();
    // It is awaited in its turn, if there is one; until then a failure is nobody's.
    preparing.catch(() => undefined);
    return preparing;
  }

  #goesOn(signal: AbortSignal): boolean {
    const { election, known } = this.#ground;
    const isOurs = election.epoch === this.#epoch && election.stopped === undefined;
    return !signal.aborted && isOurs && isServed(known(this.#host.host)?.state ?? 'ACTIVE');
  }

  async #claim(): Promise<SignedHead> {
    const { origin, root, election, newChallenge } = this.#ground;
    const challenge = newChallenge();
    const head = await this.#port.claim(
      origin,
      signClaim(root, { origin, host: this.#host.host }, { ...election.grant, challenge }),
    );
    assertTrue(head, { host: this.#host.host, key: this.#key, origin, challenge });
    if (head.epoch > this.#epoch) throw new Lie(`it took events of epoch ${head.epoch} and grants ${this.#epoch}`);
    return head;
  }

  /** The tree of those of a host's events that are the first ones of the own log. */
  async #inCommon(head: SignedHead): Promise<MerkleFrontier> {
    const whole = await this.#ownTree(head.sequence, head.root);
    if (whole !== undefined) return whole;
    const last = this.#ground.last();
    const tree = await this.#search(Math.min(last, head.sequence));
    // Of an older epoch it may have what never became the story; of this one, only what this writer shipped. Either way
    // nothing is concluded from what it cannot show.
    const isThisEpoch = head.epoch === this.#epoch;
    if (isThisEpoch || !this.#ground.election.isElected) await this.#assertOtherwise(tree.size);
    if (isThisEpoch) await this.#stopFor(tree.size, last);
    return tree;
  }

  /** The own tree of a size, if it has this root. */
  async #ownTree(size: number, root: string): Promise<MerkleFrontier | undefined> {
    if (size > this.#ground.last()) return undefined;
    // What is kept of the own tree may be damaged: nobody is accused on its word.
    for (const afresh of [false, true]) {
      const tree = await this.#ground.tree.at(size, afresh);
      if (tree !== undefined && toHex(tree.root()) === root) return tree;
    }
    return undefined;
  }

  async #search(most: number): Promise<MerkleFrontier> {
    const { origin } = this.#ground;
    let found = new MerkleFrontier(sha256);
    let high = most;
    while (found.size < high) {
      const middle = Math.ceil((found.size + high) / 2);
      const tree = await this.#ownTree(middle, await shown(this.#port.rootAt(origin, middle)));
      if (tree === undefined) high = middle - 1;
      else found = tree;
    }
    return found;
  }

  /** @throws Lie unless the host shows another event than ours, which only this origin can have sealed */
  async #assertOtherwise(common: number): Promise<void> {
    const { origin, isOwn, window } = this.#ground;
    const [event] = await shown(this.#port.events(origin, common, 1));
    const [own] = await window.take(common, 1, 0);
    const isSame = event !== undefined && own !== undefined && equalBytes(event.sealed, own.sealed);
    if (event?.sequence !== common + 1 || isSame || !(await isOwn(event)))
      throw new Lie('its root is not that of the events it was sent');
  }

  /** What differs within this epoch was shipped by this writer, which has forgotten it, or by another as this one. */
  async #stopFor(common: number, last: number): Promise<void> {
    const { election } = this.#ground;
    const { host, url } = this.#host;
    if (common === last)
      await election.stop({
        code: 'BEHIND',
        message: `Host ${url} (${host}) has event ${common + 1} of this origin, which this log does not have: the log is older than what was shipped.`,
      });
    else
      await election.stop({
        code: 'FORKED',
        message: `Host ${url} (${host}) has another event ${common + 1} of this origin than this log: two cores wrote as one.`,
      });
  }

  async #ship({ events, body, tree }: Prepared): Promise<SignedHead> {
    const { origin, time } = this.#ground;
    const startedAt = time.now().getTime();
    const bytes = events.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
    let head: SignedHead;
    try {
      head = await this.#port.ship(origin, body);
    } catch (error) {
      // The next session tries with less.
      if (error instanceof HostError) throw new ShipError(error, events, bytes);
      throw error;
    }
    if (time.now().getTime() - startedAt < QUICK_MS) this.#maxBytes = Math.min(MAX_BATCH_BYTES, 2 * this.#maxBytes);
    assertTrue(head, { host: this.#host.host, key: this.#key, origin });
    if (head.epoch !== this.#epoch || head.sequence !== tree.size || head.root !== toHex(tree.root()))
      throw new Lie(`it signs for something else than events 1–${tree.size}`);
    return head;
  }

  /** How large a batch may be, in bytes. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
  }
}

/** What a host shows of what it has signed for. @throws Lie when it says that it has it not */
async function shown<A>(asked: Promise<A>): Promise<A> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== 'NOT_FOUND') throw error;
    throw new Lie(`it has not what it signed for: ${error.message}`, { cause: error });
  }
}

/** A batch came to nothing. */
export class ShipError extends Error {
  override readonly name = 'ShipError';
  override readonly cause: HostError;
  readonly events: readonly AddressedEvent[];
  readonly bytes: number;

  constructor(cause: HostError, events: readonly AddressedEvent[], bytes: number) {
    super(cause.message, { cause });
    this.cause = cause;
    this.events = events;
    this.bytes = bytes;
  }
}
