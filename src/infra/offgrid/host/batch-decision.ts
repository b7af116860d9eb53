import { HASH_BYTES, type MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import type { Sequence } from '../protocol/fields.js';
import type { HistoryName } from '../protocol/queries.js';
import { compareRank, isComplete, type Tree } from '../protocol/tree.js';
import type { HistoryFrontiers } from './history-frontiers.js';
import type { OpenTree, OriginState } from './origin-state.js';
import { RefusalError } from './refusal-error.js';
import type { LeafEvent, Place, ReplicaStore, StoredOrigin, HistoryChange } from './replica-store.js';

/** A batch whose tree is the origin's and of the writer whose claim was granted, and has the length that the tree states. */
export interface ReceivedBatch {
  readonly from: Sequence;
  readonly tree: OpenTree;
  readonly events: readonly LeafEvent[];
}

/** The outcome of a batch that is not refused outright. */
export type BatchDecision =
  /** Its events are taken. */
  | { readonly taken: HistoryChange }
  /** Only trees change, or nothing if the batch brings no news. */
  | { readonly renewed: Partial<Pick<StoredOrigin, 'head' | 'known'>> }
  /** It contradicts the stored history of its line number or of its epoch: it is refused, and its tree is kept as evidence. */
  | { readonly forked: RefusalError };

/** The history of the origin that a batch continues. */
interface Continuation {
  readonly history: HistoryName;
  /** The tree over the events before the batch. */
  readonly before: MerkleFrontier;
  /** The tree over them and the batch. */
  readonly after: MerkleFrontier;
}

/** The stored state that a batch is checked against. */
interface DecisionContext {
  readonly origin: string;
  readonly state: OriginState;
  readonly store: Pick<ReplicaStore, 'leaves'>;
  readonly frontiers: HistoryFrontiers;
}

/**
 * Decides on a batch by steps 3 to 8 of "What a host does" in docs/protocol.md.
 * @throws RefusalError GAP, OTHER, OLDER, COMMITTED
 */
export async function decideBatch(batch: ReceivedBatch, context: DecisionContext): Promise<BatchDecision> {
  const { head, staged, known } = context.state;
  const { tree } = batch;
  const continued = await continuationOf(batch, context);
  for (const there of [head, known]) if (there !== null && isTwin(there.value, tree.value)) return forked(there);
  const nowKnown = isKnownAbove(tree.value, known) ? tree : known;
  const learned = nowKnown === known ? {} : { known: tree.signed };

  if (!isComplete(tree.value)) {
    if (staged !== null && isAboveStaged(staged.value, tree.value)) return { renewed: learned };
    return { taken: await changeOf('staged', batch, continued, nowKnown, context) };
  }
  if (head !== null && head.value.line === tree.value.line && head.value.epoch === tree.value.epoch) {
    const shorter = Math.min(head.value.sequence, tree.value.sequence);
    const there = (await context.frontiers.at(shorter, 'head', context.state.places)).root();
    if (!equalBytes(there, await rootAt(shorter, batch, continued, context))) return forked(head);
    if (tree.value.sequence === head.value.sequence && tree.value.quorum > head.value.quorum)
      return { renewed: { head: tree.signed, ...learned } };
    if (tree.value.sequence <= head.value.sequence) return { renewed: learned };
  } else if (head !== null && compareEpochs(head.value, tree.value) > 0) {
    const message = `The head of this host is of line ${head.value.line} and epoch ${head.value.epoch}, above this tree's.`;
    throw new RefusalError({ code: 'OLDER', message, tree: head.signed });
  }
  if (known !== null && isSameLine(known.value, tree.value)) {
    const { quorum, quorumRoot, epoch } = known.value;
    const isKept =
      tree.value.sequence < quorum
        ? epoch >= tree.value.epoch
        : equalBytes(await rootAt(quorum, batch, continued, context), quorumRoot);
    if (!isKept) {
      const message = `The tree lacks some of the ${quorum} events that were at quorum.`;
      throw new RefusalError({ code: 'COMMITTED', message, tree: known.signed });
    }
  }
  return { taken: await changeOf('head', batch, continued, nowKnown, context) };
}

/** The first of `staged` and `head` that has the events before the batch and, with the batch, the tree's root. */
async function continuationOf({ from, tree, events }: ReceivedBatch, context: DecisionContext): Promise<Continuation> {
  const { frontiers, state, origin } = context;
  const { places } = state;
  const longest = Math.max(places.head.sequence, places.staged.sequence);
  if (from - 1 > longest) {
    const message = `The batch begins at event ${from}, but this host has ${longest} events of '${origin}'.`;
    throw new RefusalError({ code: 'GAP', message, sequence: longest });
  }
  for (const history of ['staged', 'head'] as const) {
    if (from - 1 > places[history].sequence) continue;
    const before = await frontiers.at(from - 1, history, places);
    const after = before.copy();
    for (const { leaf } of events) after.appendHash(leaf);
    if (equalBytes(after.root(), tree.value.root)) return { history, before, after };
  }
  const message = `After the first ${from - 1} events of '${origin}' on this host, the batch does not give its tree's root.`;
  throw new RefusalError({ code: 'OTHER', message });
}

/** The root over the first `size` events of the batch's history: the events before the batch and the batch. */
async function rootAt(
  size: number,
  batch: ReceivedBatch,
  continued: Continuation,
  context: DecisionContext,
): Promise<Uint8Array> {
  const { history, before } = continued;
  if (size < before.size) return (await context.frontiers.at(size, history, context.state.places)).root();
  const grown = before.copy();
  for (const { leaf } of batch.events.slice(0, size - before.size)) grown.appendHash(leaf);
  return grown.root();
}

async function changeOf(
  becomes: HistoryName,
  batch: ReceivedBatch,
  { history, after }: Continuation,
  known: OpenTree | null,
  context: DecisionContext,
): Promise<HistoryChange> {
  const { head, staged, places } = context.state;
  const { from, tree, events } = batch;
  const kept = { head: 0, staged: 0 };
  for (const each of ['head', 'staged'] as const)
    if (each === history || from - 1 <= places.common) kept[each] = await keptOf(each, batch, context);
  // Staged events beyond the head are set aside only for a batch that does not continue them.
  const base = kept.staged > places.common ? 'staged' : 'head';
  const keep = kept[base];
  const common = base === 'staged' ? places.common : keep;
  const place: Place = { sequence: after.size, peaks: after.peaks };
  const isStagedLost = staged !== null && places.staged.sequence > (base === 'staged' ? keep : places.common);
  const isHeadLost = becomes === 'head' && head !== null && head.value.sequence > common;
  return {
    before: places,
    base,
    keep,
    added: events.slice(keep - from + 1),
    becomes,
    tree: tree.signed,
    places:
      becomes === 'head'
        ? { head: place, staged: { sequence: 0, peaks: [] }, common: place.sequence }
        : { head: places.head, staged: place, common },
    setAside: [...(isHeadLost ? [head.signed] : []), ...(isStagedLost ? [staged.signed] : [])],
    known: known?.signed ?? null,
  };
}

/** How many first events a history shares with the batch's history. Those before the batch are shared by precondition. */
async function keptOf(
  history: HistoryName,
  { from, events }: ReceivedBatch,
  { store, origin, state }: DecisionContext,
) {
  const to = Math.min(state.places[history].sequence, from + events.length - 1);
  if (to < from) return Math.min(state.places[history].sequence, from - 1);
  const leaves = await store.leaves(origin, history, from, to);
  const differs = events.findIndex(
    ({ leaf }, i) => i > to - from || !equalBytes(leaves.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), leaf),
  );
  return differs < 0 ? to : from - 1 + differs;
}

function forked(there: OpenTree): BatchDecision {
  const { line, epoch } = there.value;
  const message = `This host has another history of line ${line} (epoch ${epoch}): two cores write as one. Both are kept.`;
  return { forked: new RefusalError({ code: 'FORKED', message, tree: there.signed }) };
}

/** Whether two trees are of different lines that have the same number. */
function isTwin(a: Tree, b: Tree): boolean {
  return a.line === b.line && !equalBytes(a.begun, b.begun);
}

function isSameLine(a: Tree, b: Tree): boolean {
  return a.line === b.line && equalBytes(a.begun, b.begun);
}

/** Compares by (line, epoch). */
function compareEpochs(a: Tree, b: Tree): number {
  return compareRank({ ...a, sequence: 0 }, { ...b, sequence: 0 });
}

function isKnownAbove(tree: Tree, known: OpenTree | null): boolean {
  if (tree.quorum === 0) return false;
  if (known === null) return true;
  return tree.line > known.value.line || (tree.line === known.value.line && tree.quorum > known.value.quorum);
}

/** Whether the staged history is kept: its tree is of a higher epoch, or of this one and longer. */
function isAboveStaged(staged: Tree, tree: Tree): boolean {
  return staged.epoch > tree.epoch || (staged.epoch === tree.epoch && staged.sequence > tree.sequence);
}
