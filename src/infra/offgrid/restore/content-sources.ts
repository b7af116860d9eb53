import type { HostClient } from '../protocol/host-client.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Tree } from '../protocol/tree.js';
import type { EntryList } from './entry-list.js';
import type { HeardHost } from './host-survey.js';

/** A host that contents are fetched from, and how far its histories agree with the one that is read. */
export interface ContentSource {
  readonly host: string;
  readonly client: Pick<HostClient, 'events'>;
  /** How many of the first events each history has. */
  readonly reach: Readonly<Record<HistoryName, number>>;
  /**
   * Whether that is known. Otherwise it is how many there may be, and the host is asked only for what no host gives that is known
   * to have it.
   */
  readonly isSure: boolean;
}

const NOTHING: ContentSource['reach'] = { head: 0, staged: 0 };

/**
 * The sources for the contents of a list. They include hosts that are left out: the address shows what is right. A tree whose
 * entries no host gives, because some of them are damaged, may also have the first events of the list.
 * @param listOf the entries of a tree, where they are known
 */
export function contentSources(
  list: EntryList,
  heard: readonly HeardHost[],
  listOf: (tree: Tree) => EntryList | undefined,
): readonly ContentSource[] {
  return heard.flatMap(({ host, client, head: { tree, staged } }) => {
    const unsure: ContentSource[] = [];
    const reachOf = (name: HistoryName, shown: Tree | undefined) => {
      if (shown === undefined) return 0;
      if (list.hasRoot(shown.sequence, shown.root)) return shown.sequence;
      const known = listOf(shown);
      if (known !== undefined) return Math.min(shown.sequence, known.common(list));
      unsure.push({
        host,
        client,
        reach: { ...NOTHING, [name]: Math.min(shown.sequence, list.length) },
        isSure: false,
      });
      return 0;
    };
    const reach = { head: reachOf('head', tree?.value), staged: reachOf('staged', staged?.value) };
    return [{ host, client, reach, isSure: true }, ...unsure];
  });
}
