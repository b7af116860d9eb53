import type { RecordedEvent } from '../../src/domain/event.js';
import type { HistoryHole } from '../../src/domain/history-hole.js';
import type { PolicyOnHistory } from '../../src/domain/reading.js';
import type { Policy, ReplicationPolicySet } from '../../src/domain/replication.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import type { Tree } from '../../src/infra/offgrid/protocol/tree.js';

/** A history, named by its last event, which implies all events before it. 0 is the empty history. */
export type History = number;

/** What is known of a history. */
interface Node {
  readonly parent: History;
  readonly length: number;
  readonly line: number;
  /** The history up to the event that began the line; 0 in line 1. */
  readonly begun: History;
  readonly policies: readonly KnownPolicy[];
  /** The events, by their numbers, that were lost before the line began. */
  readonly lost: readonly number[];
}

/** A history that continues another, by the event that it continues it with. */
interface Child {
  readonly event: Pick<RecordedEvent, 'etype' | 'metadata'>;
  readonly history: History;
}

/** A policy on a history. */
export type KnownPolicy = PolicyOnHistory & { readonly policy: Policy };

/**
 * Every history of replicated events that ever existed, as a trie. What cores and hosts have is compared by it, and not
 * by the Merkle trees of the product, which may be at fault.
 */
export class Histories {
  readonly #nodes: Node[] = [{ parent: 0, length: 0, line: 1, begun: 0, policies: [], lost: [] }];
  readonly #next = new Map<string, History>();
  readonly #children = new Map<History, readonly Child[]>();
  readonly #roots = new Map<string, History>();
  #events = 0;
  /** How often a hole was put into a log. */
  holes = 0;

  /** A number for a new event: no two events of a world have the same. */
  newNumber(): number {
    this.#events += 1;
    return this.#events;
  }

  /** The history that continues another with an event. */
  next(from: History, event: Pick<RecordedEvent, 'id' | 'type' | 'data' | 'etype' | 'metadata'>): History {
    const { id, type, data } = event;
    if (type === 'HistoryHole') return this.#withHole(from, data as unknown as HistoryHole['data']);
    const name = `${from} ${id}`;
    const known = this.#next.get(name);
    if (known !== undefined) return known;
    this.#children.set(from, [...(this.#children.get(from) ?? []), { event, history: this.#nodes.length }]);
    const before = this.#node(from);
    const next = this.#nodes.length;
    const length = before.length + 1;
    let { line, begun, policies, lost } = before;
    if (type === 'ReplicationPolicySet') {
      const { version, hosts, required, line: begins = 1, holes } = data as unknown as ReplicationPolicySet['data'];
      const isLost = (sequence: number) => (begins > line ? (holes ?? []) : lost).includes(sequence);
      // Of two policies of one version the first counts, unless it is a hole in the log that has the second.
      if (!policies.some((known) => known.policy.version === version && !isLost(known.sequence))) {
        if (begins > line) [line, begun, lost] = [begins, next, holes ?? []];
        policies = [...policies, { policy: { version, hosts, required }, line, sequence: length }];
      }
    }
    this.#nodes.push({ parent: from, length, line, begun, policies, lost });
    this.#next.set(name, next);
    return next;
  }

  /** The history that continued with the event that a hole stands for. */
  #withHole(from: History, { etype, ts }: HistoryHole['data']): History {
    const found = (this.#children.get(from) ?? []).filter(
      ({ event }) => event.etype === etype && Date.parse(event.metadata.at) === ts,
    );
    const [one, ...others] = found;
    this.holes += 1;
    if (one === undefined || others.length > 0)
      throw new Error(`${found.length} events fit a hole after history ${from}`);
    return one.history;
  }

  lengthOf(history: History): number {
    return this.#node(history).length;
  }

  lineOf(history: History): number {
    return this.#node(history).line;
  }

  begunOf(history: History): History {
    return this.#node(history).begun;
  }

  policiesOf(history: History): readonly KnownPolicy[] {
    return this.#node(history).policies;
  }

  /** The first events of a history. */
  first(history: History, length: number): History {
    let at = history;
    for (let node = this.#node(at); node.length > length; node = this.#node(at)) at = node.parent;
    return at;
  }

  /** Whether a history begins with another. */
  has(history: History, other: History): boolean {
    const length = this.lengthOf(other);
    return length <= this.lengthOf(history) && this.first(history, length) === other;
  }

  /** What two histories have in common. */
  common(a: History, b: History): History {
    const length = Math.min(this.lengthOf(a), this.lengthOf(b));
    let [x, y] = [this.first(a, length), this.first(b, length)];
    while (x !== y) [x, y] = [this.#node(x).parent, this.#node(y).parent];
    return x;
  }

  /**
   * Learns the roots of a tree that a core has signed for its own log.
   * @throws Error when one is the root of another history
   */
  learn(log: History, { line, begun, sequence, root, quorum, quorumRoot }: Tree): void {
    this.#learn(root, this.first(log, sequence));
    this.#learn(quorumRoot, this.first(log, quorum));
    const first = line === 1 ? undefined : this.policiesOf(log).find((policy) => policy.line === line);
    this.#learn(begun, this.first(log, first?.sequence ?? 0));
  }

  #learn(root: Uint8Array, history: History): void {
    const name = toHex(root);
    const known = this.#roots.get(name);
    if (known === undefined) this.#roots.set(name, history);
    else if (known !== history) throw new Error(`one root is signed for history ${known} and for ${history}`);
  }

  /** The history that has a root. @throws Error when no core has ever signed it */
  ofRoot(root: Uint8Array): History {
    const history = this.#roots.get(toHex(root));
    if (history === undefined) throw new Error('a root is shown that no core has signed');
    return history;
  }

  #node(history: History): Node {
    const node = this.#nodes[history];
    if (node === undefined) throw new Error(`there is no history ${history}`);
    return node;
  }
}
