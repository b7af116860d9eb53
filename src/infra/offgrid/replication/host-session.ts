import { MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import { sha256 } from '../../crypto/sha256.js';
import type { Time } from '../../platform/clock.js';
import { LinkedSignal } from '../../platform/linked-signal.js';
import { MAX_DAMAGED } from '../protocol/answers.js';
import { MAX_BATCH_BYTES } from '../protocol/batch.js';
import { signClaim } from '../protocol/claim.js';
import { HostFailure, type HeadAnswer, type HostClient } from '../protocol/host-client.js';
import type { HistoryName } from '../protocol/queries.js';
import { sizeAfter } from '../protocol/transfer-size.js';
import type { Tree } from '../protocol/tree.js';
import {
  assertGranted,
  assertNotFallen,
  assertTaken,
  verifyHead,
  type Counted,
  type Expected,
  type GoodHead,
} from '../protocol/verify-head.js';
import { EpochEnded, type Batch, type BatchMaker } from './batch-maker.js';
import type { LocalHistory } from './local-history.js';
import type { ReplicationState } from './replication-state.js';
import type { Writer } from './writer.js';

/** A host that was sent nothing for this long is asked for its head, in milliseconds. */
const SILENCE_MS = 10_000;
/** A risen quorum is sent to a host when nothing was shipped to it for this long, in milliseconds, */
const RENEW_AFTER_MS = 2_000;
/** and at most this often, in milliseconds. */
const RENEW_EVERY_MS = 10_000;

/** Dependencies of a session. */
export interface SessionDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly writer: Writer;
  readonly history: LocalHistory;
  readonly batches: BatchMaker;
  readonly time: Time;
  readonly state: () => ReplicationState;
  /** Resolves when there are more events, when the state has changed, or when the signal aborts. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
}

/** What is remembered of a host between sessions. */
export interface HostMemory {
  /** How large a batch may be, in bytes. */
  maxBytes: number;
  /** The head that was counted last. */
  counted: Counted | undefined;
  /** The epoch that the host granted last. */
  granted: number;
  /** Whether its answers on where the histories diverge are unreliable. */
  isMisleading: boolean;
}

/** Receives the progress of a session, and decides whether it continues. */
export interface SessionOwner {
  readonly isServed: () => boolean;
  /** The host has answered with a valid head. */
  readonly onHead: (head: GoodHead) => void;
  /** A head counts. */
  readonly onCounted: (head: GoodHead, tree: Tree) => void;
  /** The host has taken a batch, or has all events. */
  readonly onSupplied: () => Promise<void>;
}

/** A batch could not be shipped. */
export class ShipError extends Error {
  override readonly name = 'ShipError';
  override readonly cause: HostFailure;
  readonly batch: Batch;

  constructor(cause: HostFailure, batch: Batch) {
    super(cause.message, { cause });
    this.cause = cause;
    this.batch = batch;
  }
}

/**
 * One conversation with one host under one epoch: claim, find how much of the local history the host has, ship the
 * rest, and continue as events arrive. It ends with an error, with the signal, with the epoch, or when the host is no
 * longer served.
 */
export class HostSession {
  readonly #expected: Expected;
  readonly #client: HostClient;
  readonly #dependencies: SessionDependencies;
  readonly #memory: HostMemory;
  readonly #owner: SessionOwner;
  readonly #epoch: number;
  /** The last tree of this epoch that the host has taken. */
  #taken: Tree | undefined;
  /** How many of the host's events were damaged when these were all holes. */
  #holes = 0;
  #shippedAt = -Infinity;
  #renewedAt = -Infinity;

  constructor(
    expected: Expected,
    client: HostClient,
    dependencies: SessionDependencies,
    memory: HostMemory,
    owner: SessionOwner,
  ) {
    this.#expected = expected;
    this.#client = client;
    this.#dependencies = dependencies;
    this.#memory = memory;
    this.#owner = owner;
    this.#epoch = dependencies.writer.epoch;
  }

  /** @throws HostFailure, ShipError, DishonestHostError */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#run(signal);
    } catch (error) {
      if (!(error instanceof EpochEnded)) throw error;
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { writer, batches } = this.#dependencies;
    const memory = this.#memory;
    const head = memory.granted === this.#epoch ? await this.#ask() : await this.#claim();
    let tree = await this.#inCommon(head);
    let next = this.#prepare(tree);
    while (this.#goesOn(signal)) {
      const batch = (await next) ?? (this.#renewalIn(tree) <= 0 ? await batches.renewal(tree, writer) : undefined);
      if (batch === undefined) {
        await this.#owner.onSupplied();
        const found = this.#goesOn(signal) ? await this.#idle(tree, signal) : undefined;
        next = found === undefined ? this.#prepare(tree) : Promise.resolve(found);
        continue;
      }
      // The next batch is made while this one is in transit.
      const shipping = this.#ship(batch);
      next = this.#prepare(batch.tree);
      await shipping;
      ({ tree } = batch);
      await this.#owner.onSupplied();
    }
    // The known quorum must outlive this process.
    if (signal.aborted && this.#isOfEpoch() && this.#lacksQuorum(tree))
      await this.#ship(await batches.renewal(tree, writer));
  }

  #prepare(tree: MerkleFrontier): Promise<Batch | undefined> {
    const preparing = this.#dependencies.batches.after(tree, this.#memory.maxBytes, this.#dependencies.writer);
    // The promise may never be awaited; without this handler its failure would be unhandled.
    preparing.catch(() => undefined);
    return preparing;
  }

  /** How long until a host that has all events needs a renewed tree, in milliseconds; Infinity when it needs none. */
  #renewalIn(tree: MerkleFrontier): number {
    const { writer, time } = this.#dependencies;
    if (!writer.isElected || tree.size === 0) return Infinity;
    const taken = this.#taken;
    if (taken?.base !== writer.base || taken.sequence < tree.size) return 0;
    if (!this.#lacksQuorum(tree)) return Infinity;
    const now = time.now().getTime();
    return Math.max(this.#shippedAt + RENEW_AFTER_MS, this.#renewedAt + RENEW_EVERY_MS) - now;
  }

  #lacksQuorum(tree: MerkleFrontier): boolean {
    const { writer } = this.#dependencies;
    return writer.isElected && tree.size > 0 && (this.#taken?.quorum ?? 0) < writer.signable;
  }

  /**
   * Waits for a change, or until the tree must be renewed. After a silence the host is asked for its head. Resolves the
   * next batch if one is ready: events may have arrived since the last check, while a batch was in transit.
   */
  async #idle(tree: MerkleFrontier, signal: AbortSignal): Promise<Batch | undefined> {
    const { changed, time } = this.#dependencies;
    const waiting = new LinkedSignal(signal);
    try {
      const news = changed(waiting.signal).then(() => false);
      const batch = await this.#prepare(tree);
      if (batch !== undefined) return batch;
      const renewal = this.#renewalIn(tree);
      const silenceMs = Math.min(SILENCE_MS, Math.max(0, renewal));
      const silence = time.sleep(silenceMs, waiting.signal).then(() => renewal > SILENCE_MS);
      if ((await Promise.race([news, silence])) && this.#goesOn(signal)) await this.#ask();
      return undefined;
    } finally {
      waiting.end();
    }
  }

  #isOfEpoch(): boolean {
    const { writer } = this.#dependencies;
    const isOfLine = this.#dependencies.state().line === writer.line;
    return writer.epoch === this.#epoch && writer.halted === undefined && isOfLine;
  }

  #goesOn(signal: AbortSignal): boolean {
    return !signal.aborted && this.#isOfEpoch() && this.#owner.isServed();
  }

  async #claim(): Promise<GoodHead> {
    const { origin, root, writer } = this.#dependencies;
    const { host, originKey } = this.#expected;
    const value = { host, origin, epoch: this.#epoch, writer: writer.id };
    const claim = { signed: signClaim(value, root.signingKey), value };
    return this.#checked(
      () => this.#client.claim(origin, { key: originKey, claim: claim.signed }),
      (good) => {
        assertGranted(good, claim);
        this.#memory.granted = this.#epoch;
      },
    );
  }

  /** Asks for the head; claims again if the host has forgotten the claim. */
  async #ask(): Promise<GoodHead> {
    const { origin, writer } = this.#dependencies;
    const head = await this.#checked(() => this.#client.head(origin));
    const claim = head.claim?.value;
    if (claim?.epoch === this.#epoch && claim.writer === writer.id) return head;
    this.#memory.granted = 0;
    if (claim !== undefined && (await writer.fenced(this.#epoch, claim))) throw new EpochEnded();
    return this.#claim();
  }

  async #ship(batch: Batch): Promise<void> {
    const { origin, time } = this.#dependencies;
    const memory = this.#memory;
    const begun = time.now().getTime();
    try {
      await this.#checked(
        () => this.#client.ship(origin, batch.body),
        (good) => {
          assertTaken(good, batch.statement);
          this.#taken = batch.statement.value;
        },
      );
    } catch (error) {
      if (error instanceof HostFailure) throw new ShipError(error, batch);
      throw error;
    }
    const took = (this.#shippedAt = time.now().getTime()) - begun;
    if (batch.count === 0) this.#renewedAt = this.#shippedAt;
    memory.isMisleading = false;
    memory.maxBytes = sizeAfter(memory.maxBytes, took, MAX_BATCH_BYTES);
  }

  /**
   * Asks for a head, verifies it, and acts on it.
   * @param check throws unless the head has what the request demands
   * @throws DishonestHostError, HostFailure, EpochEnded
   */
  async #checked(ask: () => Promise<HeadAnswer>, check: (head: GoodHead) => void = () => undefined): Promise<GoodHead> {
    const { writer } = this.#dependencies;
    const { counted } = this.#memory;
    const answer = await ask();
    if (!this.#isOfEpoch()) throw new EpochEnded();
    const head = verifyHead(answer, this.#expected);
    check(head);
    assertNotFallen(head, counted);
    this.#owner.onHead(head);
    if (!this.#isOwnWord(head)) await writer.heard(this.#expected.host, this.#epoch, head);
    if (!this.#isOfEpoch()) throw new EpochEnded();
    await this.#count(head);
    return head;
  }

  /** Whether a head shows nothing but what this process has just signed. */
  #isOwnWord({ tree, staged }: GoodHead): boolean {
    const taken = this.#taken;
    if (taken === undefined || !this.#dependencies.writer.isElected || staged !== null) return false;
    return tree !== null && tree.value.epoch === taken.epoch && equalBytes(tree.value.root, taken.root);
  }

  /** A head counts when it is of this line and epoch and on the log, and all its damaged events are holes. */
  async #count(head: GoodHead): Promise<void> {
    const { writer, state, history } = this.#dependencies;
    const tree = head.tree?.value;
    if (tree === undefined || !writer.isElected) return;
    if (tree.line !== state().line || tree.epoch !== this.#epoch || tree.writer !== writer.id) return;
    if (!(await history.has(tree.sequence, tree.root)) || !(await this.#areHoles(head.damaged))) return;
    const { line, epoch, sequence } = tree;
    this.#memory.counted = { line, epoch, sequence, signed: head.signed };
    this.#owner.onCounted(head, tree);
  }

  /** Whether a host's damaged events, `damaged` in number, are all holes: no host has their content. */
  async #areHoles(damaged: number): Promise<boolean> {
    const { origin, state } = this.#dependencies;
    const { holes } = state();
    if (damaged === 0 || damaged === this.#holes) return true;
    if (damaged > holes.size) return false;
    for (let after = 0, seen = 0; seen < damaged;) {
      const { sequences } = await this.#client.damaged(origin, { after, limit: MAX_DAMAGED });
      const last = sequences.at(-1) ?? after;
      // An answer that lists no further events contradicts the count in the head.
      if (last <= after || !sequences.every((sequence) => holes.has(sequence))) return false;
      [after, seen] = [last, seen + sequences.length];
    }
    this.#holes = damaged;
    return true;
  }

  /** The tree over those of a host's events that are the first events of the local log. */
  async #inCommon({ tree, staged }: GoodHead): Promise<MerkleFrontier> {
    const { history } = this.#dependencies;
    let common = 0;
    for (const shown of [tree?.value, staged?.value]) {
      if (shown === undefined || shown.sequence <= common || !(await history.has(shown.sequence, shown.root))) continue;
      common = shown.sequence;
      if (shown.epoch === this.#epoch) this.#taken = shown;
    }
    const longest = tree ?? staged;
    if (common === 0 && longest !== null && !this.#memory.isMisleading)
      common = await this.#search(tree === null ? 'staged' : 'head', longest.value.sequence);
    return common === 0 ? new MerkleFrontier(sha256) : history.at(common);
  }

  /**
   * How many of a host's first events are those of the local log, by the roots it reports. Wrong roots only waste
   * batches.
   */
  async #search(of: HistoryName, length: number): Promise<number> {
    const { origin, history, state } = this.#dependencies;
    let [found, high] = [0, Math.min(state().head, length)];
    while (found < high) {
      const middle = Math.ceil((found + high) / 2);
      const root = (await this.#client.roots(origin, middle))[of];
      if (root !== null && (await history.has(middle, root))) found = middle;
      else high = middle - 1;
    }
    return found;
  }
}
