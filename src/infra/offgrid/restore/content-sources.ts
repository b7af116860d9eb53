import type { Tree } from '../protocol/tree.js';
import type { ContentSource } from './content-fetcher.js';
import type { EntryList } from './entry-list.js';
import type { HeardHost } from './host-survey.js';

/**
 * The sources for the contents of a list. They include hosts that are left out: the address shows what is right.
 * @param listOf the entries of a tree, where they are known
 */
export function contentSources(
  list: EntryList,
  heard: readonly HeardHost[],
  listOf: (tree: Tree) => EntryList | undefined,
): readonly ContentSource[] {
  const reachOf = (tree: Tree | undefined) => {
    if (tree === undefined) return 0;
    if (list.hasRoot(tree.sequence, tree.root)) return tree.sequence;
    return Math.min(tree.sequence, listOf(tree)?.common(list) ?? 0);
  };
  return heard.map(({ host, client, head: { tree, staged } }) => ({
    ...{ host, client, reach: { head: reachOf(tree?.value), staged: reachOf(staged?.value) } },
  }));
}
