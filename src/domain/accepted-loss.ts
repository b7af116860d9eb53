import { higher, isPossible, tipsOf, type Reader, type ShownTree } from './reading.js';

/** Which events are taken when a loss is accepted, although more may have been at quorum. */
export type AcceptedLoss =
  /** It must be known first which events of `get` can be fetched. */
  | { readonly is: 'OPEN'; readonly get: ShownTree }
  /** Nothing can be fetched. */
  | { readonly is: 'NOTHING' }
  /** One epoch has several ends, and it cannot be decided which of them was at quorum: one must be chosen. */
  | { readonly is: 'FORKED'; readonly tips: readonly ShownTree[] }
  | { readonly is: 'TAKEN'; readonly tree: ShownTree; readonly length: number };

/**
 * Decides what is taken when a loss is accepted: of the heads that can be fetched completely and have every quorum that can be
 * fetched, the one of the highest rank; if there is none, the history that can be read furthest.
 * @param chosen a tree that an operator chose: it is taken as far as it can be read
 */
export function decideAcceptedLoss(
  { heard, relations, gotten, dishonest }: Reader,
  chosen: ShownTree | undefined,
): AcceptedLoss {
  const trees = heard.flatMap(({ tree, staged }) => [tree, staged]).filter((tree) => tree !== null);
  for (const tree of chosen === undefined ? trees : [chosen])
    if (gotten.missing(tree) === undefined) return { is: 'OPEN', get: tree };
  const readable = (tree: ShownTree) => Math.min(tree.sequence, Math.min(...(gotten.missing(tree) ?? [])) - 1);
  if (chosen !== undefined) return taken(chosen, readable(chosen));

  const isOfLine = (a: ShownTree, b: ShownTree) => a.line === b.line && relations.isOneBeginning(a, b);
  const hasQuorum = (tree: ShownTree, of: ShownTree) => relations.isQuorumOn(of, tree) && readable(tree) >= of.quorum;
  const quorums = trees.filter((of) => of.quorum > 0 && trees.some((tree) => hasQuorum(tree, of)));
  const candidates = heard.flatMap(({ host, tree }) => (tree === null ? [] : [{ host, tree }]));
  // A quorum of a lower line, or of another line with the same number, no longer binds a tree.
  const binds = (of: ShownTree, tree: ShownTree) => of.line > tree.line || isOfLine(of, tree);
  const good = candidates
    .map(({ tree }) => tree)
    .filter((tree) => readable(tree) === tree.sequence)
    .filter((tree) => quorums.every((of) => !binds(of, tree) || hasQuorum(tree, of)));

  const best = good.reduce<ShownTree | undefined>(higher, undefined);
  if (best !== undefined) {
    const rivals = good.filter((tree) => isOfLine(tree, best) && tree.epoch === best.epoch);
    const tips = tipsOf(rivals, relations);
    if (tips.length < 2) return taken(best, best.sequence);
    const ofLine = trees.filter((tree) => isOfLine(tree, best));
    const fork = { tips, rivals, candidates, ofLine, relations, gotten, dishonest };
    const possible = tips.filter((tip) => isPossible(tip, fork));
    const [only, ...others] = possible.length === 0 ? tips : possible;
    if (only === undefined || others.length > 0) return { is: 'FORKED', tips: possible.length === 0 ? tips : possible };
    return taken(only, only.sequence);
  }

  const highest = quorums.reduce<ShownTree | undefined>(
    (a, b) => (a === undefined || b.line > a.line || (b.line === a.line && b.quorum > a.quorum) ? b : a),
    undefined,
  );
  const furthest = trees
    .filter((tree) => highest === undefined || hasQuorum(tree, highest))
    .reduce<ShownTree | undefined>((a, b) => (a === undefined || readable(b) > readable(a) ? b : a), undefined);
  return furthest === undefined ? { is: 'NOTHING' } : taken(furthest, readable(furthest));
}

function taken(tree: ShownTree, length: number): AcceptedLoss {
  return length === 0 ? { is: 'NOTHING' } : { is: 'TAKEN', tree, length };
}
