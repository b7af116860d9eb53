import { LRUCache } from 'lru-cache';
import type { OwnHistory, Shown } from '../../../domain/election.js';
import type { MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes, toHex } from '../../crypto/bytes.js';
import { LogError } from '../../eventlog/errors.js';
import { isComplete, type Tree } from '../protocol/tree.js';
import type { LocalTree } from './local-tree.js';
import { beginningOf, type Outbox, type ReplicationState } from './replication-state.js';

/** How many roots, and answers, are remembered: a log only grows, so they remain correct. */
const MAX_REMEMBERED = 1_000;

/** The history of the local log, with which the trees that hosts show are compared. */
export class LocalHistory {
  readonly #tree: LocalTree;
  readonly #outbox: Pick<Outbox, 'catchUp'>;
  readonly #state: () => ReplicationState;
  readonly #answers = new LRUCache<string, boolean>({ max: MAX_REMEMBERED });
  readonly #roots = new LRUCache<number, Uint8Array>({ max: MAX_REMEMBERED });

  /** @param state the present state of the log */
  constructor(tree: LocalTree, outbox: Pick<Outbox, 'catchUp'>, state: () => ReplicationState) {
    this.#tree = tree;
    this.#outbox = outbox;
    this.#state = state;
  }

  /**
   * Whether the first events of the local log have this root.
   * @throws Error when that cannot be decided, because not all of the log is known
   */
  async has(sequence: number, root: Uint8Array): Promise<boolean> {
    const name = nameOf(sequence, root);
    const known = this.#answers.get(name);
    if (known !== undefined) return known;
    // Another core on this log may have appended and shipped events that are not known here yet.
    if (sequence > this.#state().head && !(await this.#outbox.catchUp()))
      throw new Error(
        'The outbox has not caught up with the log, so the tree that a host shows cannot be compared with it.',
      );
    if (sequence > this.#state().head) return false;
    const answer = equalBytes(await this.rootAt(sequence), root);
    this.#answers.set(name, answer);
    return answer;
  }

  /** Remembers a root of the local log that was computed elsewhere. */
  remember(sequence: number, root: Uint8Array): void {
    this.#roots.set(sequence, root);
    this.#answers.set(nameOf(sequence, root), true);
  }

  /** The root over the first events. @throws Error when there are fewer */
  async rootAt(sequence: number): Promise<Uint8Array> {
    const known = this.#roots.get(sequence);
    if (known !== undefined) return known;
    const root = (await this.at(sequence)).root();
    this.#roots.set(sequence, root);
    return root;
  }

  /** The tree over the first events. @throws Error when there are fewer */
  async at(sequence: number): Promise<MerkleFrontier> {
    const tree = await this.#tree.at(sequence);
    if (tree === undefined) throw new Error(`the log does not return event ${sequence}`);
    return tree;
  }

  /** What a tree states, and how it relates to the local log. */
  async shown(tree: Tree): Promise<Shown> {
    const { line, epoch, sequence, quorum, writer } = tree;
    return {
      ...{ line, epoch, sequence, quorum, writer },
      isComplete: isComplete(tree),
      isOfOwnBeginning: equalBytes(tree.begun, await this.rootAt(beginningOf(this.#state()))),
      isOnLog: await this.has(sequence, tree.root),
      isQuorumOnLog: quorum === 0 || (await this.has(quorum, tree.quorumRoot)),
    };
  }
}

function nameOf(sequence: number, root: Uint8Array): string {
  return `${sequence} ${toHex(root)}`;
}

/**
 * The local log in the form that an election needs. A log without a recorded election (a new one, or one that protocol
 * 1 left) counts as elected on all events it had when its process began.
 * @param length how many events it had then
 * @throws LogError LOG_CORRUPT when it was elected on more events than it has
 */
export function ownHistoryOf(state: ReplicationState, length: number): OwnHistory {
  const { line, elected, begun, quorum, isRestored, head } = state;
  const base = elected?.base ?? length;
  if (base > head)
    throw new LogError(
      'LOG_CORRUPT',
      `The log has ${head} replicated events, but it won an election with ${base}: events are missing at its end. Repair it (sheratan restore --repair), or restore it.`,
    );
  return { line, epoch: elected?.epoch ?? 0, base: Math.max(base, begun), quorum, isRestored };
}
