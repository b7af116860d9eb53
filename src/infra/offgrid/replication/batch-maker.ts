import { LRUCache } from 'lru-cache';
import type { MerkleFrontier } from '../../../domain/merkle.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Time } from '../../platform/clock.js';
import { encodeBatch, MAX_BATCH_EVENTS } from '../protocol/batch.js';
import type { ShippedEvent } from '../protocol/event.js';
import type { Statement } from '../protocol/signed.js';
import { signTree, type Tree } from '../protocol/tree.js';
import type { EnvelopeCache } from './envelope-cache.js';
import type { LocalHistory } from './local-history.js';
import type { LocalTree } from './local-tree.js';
import { beginningOf, type ReplicationState } from './replication-state.js';
import type { Writer } from './writer.js';

/** Batches kept for the next host: they name no host, so the same bytes serve all. */
const MAX_KEPT = 4;

/** A batch that is ready to be shipped. */
export interface Batch {
  /** The number of its events; 0 when it only renews the tree. */
  readonly count: number;
  readonly body: Uint8Array;
  readonly statement: Statement<'tree', Tree>;
  /** The tree over what a host has once it has taken the batch. */
  readonly tree: MerkleFrontier;
}

/** The epoch has ended: nothing more is signed, shipped or checked in it. */
export class EpochEnded extends Error {
  override readonly name = 'EpochEnded';
}

/** Dependencies of a batch maker. */
export interface BatchMakerDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly envelopes: Pick<EnvelopeCache, 'take'>;
  readonly tree: LocalTree;
  readonly history: LocalHistory;
  readonly state: () => ReplicationState;
  readonly time: Pick<Time, 'now'>;
}

/** Makes batches, each with the tree that results from its events, signed by this process. */
export class BatchMaker {
  readonly #dependencies: BatchMakerDependencies;
  readonly #kept = new LRUCache<string, Batch>({ max: MAX_KEPT });

  constructor(dependencies: BatchMakerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * The batch of the events that follow a tree, at most `maxBytes` of them beyond the first; undefined when there are
   * none.
   */
  async after(from: MerkleFrontier, maxBytes: number, writer: Writer): Promise<Batch | undefined> {
    const events = await this.#dependencies.envelopes.take(from.size, MAX_BATCH_EVENTS, maxBytes);
    return events.length === 0 ? undefined : this.#make(from, events, writer);
  }

  /** A batch without events, which shows changes such as a risen quorum. @param tree of at least one event */
  renewal(tree: MerkleFrontier, writer: Writer): Promise<Batch> {
    return this.#make(tree, [], writer);
  }

  async #make(from: MerkleFrontier, events: readonly ShippedEvent[], writer: Writer): Promise<Batch> {
    const { epoch, base, signable, id, line } = writer;
    const state = this.#dependencies.state();
    if (epoch === 0 || line !== state.line) throw new EpochEnded();
    const begun = beginningOf(state);
    const sequence = from.size + events.length;
    const name = [epoch, base, line, begun, from.size, sequence].join(' ');
    const kept = this.#kept.get(name);
    // A quorum that has risen since the batch was made is sent with the next batch.
    if (kept !== undefined && (kept.count > 0 || kept.statement.value.quorum === signable)) return kept;
    const tree = events.length === 0 ? from : await this.#dependencies.tree.grown(from, events);
    const statement = await this.#sign(tree, { epoch, base, quorum: signable, line, writer: id }, begun);
    const body = encodeBatch({ from: from.size + 1, tree: statement.signed, events });
    const batch = { count: events.length, body, statement, tree };
    this.#kept.set(name, batch);
    return batch;
  }

  async #sign(
    frontier: MerkleFrontier,
    by: Pick<Tree, 'epoch' | 'base' | 'quorum' | 'line' | 'writer'>,
    begun: number,
  ): Promise<Statement<'tree', Tree>> {
    const { origin, root, history, time } = this.#dependencies;
    const value: Tree = {
      ...by,
      ...{ ts: Math.max(0, time.now().getTime()), begun: await history.rootAt(begun) },
      ...{ root: frontier.root(), origin, sequence: frontier.size, quorumRoot: await history.rootAt(by.quorum) },
    };
    history.remember(value.sequence, value.root);
    history.remember(value.quorum, value.quorumRoot);
    return { signed: signTree(value, root.signingKey), value };
  }
}
