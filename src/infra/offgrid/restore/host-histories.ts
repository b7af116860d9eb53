import { equalBytes } from '../../crypto/bytes.js';
import { compareRank, type Tree } from '../protocol/tree.js';
import { MissingEventError, type ContentFetcher, type FetchedEvent } from './content-fetcher.js';
import { contentSources } from './content-sources.js';
import type { EntryCollector } from './entry-collector.js';
import type { EntryList } from './entry-list.js';
import { shownTrees, type HeardHost } from './host-survey.js';

/** A history that hosts have. Its entries have a root that the origin has signed. */
export interface HostHistory {
  readonly list: EntryList;
  /**
   * The events from one number to another, both included, as far as a host gives them.
   * @param known not fetched again
   */
  fetch(
    from: number,
    to: number,
    known: { has(sequence: number): boolean },
  ): Promise<ReadonlyMap<number, FetchedEvent>>;
  /** The name of a host for display: URL and fingerprint. */
  nameOf(host: string): string;
}

/** Dependencies of the histories of hosts. */
export interface HistoriesDependencies {
  readonly heard: readonly HeardHost[];
  readonly collector: EntryCollector;
  readonly fetcher: Pick<ContentFetcher, 'read'>;
}

/** The histories that hosts show, the one of the highest rank first. */
export async function* hostHistories({ heard, collector, fetcher }: HistoriesDependencies): AsyncIterable<HostHistory> {
  const lists = new Map<Tree, EntryList>();
  const roots: Uint8Array[] = [];
  for (const tree of shownTrees(heard).sort((a, b) => compareRank(b, a))) {
    if (roots.some((root) => equalBytes(root, tree.root))) continue;
    roots.push(tree.root);
    const list = await collector.listOf(tree);
    if (list === undefined) continue;
    lists.set(tree, list);
    yield {
      list,
      nameOf: (id) => {
        const named = heard.find(({ host }) => host === id);
        return named === undefined ? id : `${named.url} (${id})`;
      },
      fetch: async (from, to, known) => {
        const sources = contentSources(list, heard, (other) => lists.get(other));
        const found = new Map<number, FetchedEvent>();
        for (let after = from - 1; after < Math.min(to, list.length);) {
          if (known.has(after + 1)) {
            after += 1;
            continue;
          }
          try {
            const until = Math.min(to, list.length);
            for await (const page of fetcher.read(list, { after, to: until }, sources))
              for (const event of page) {
                found.set(event.sequence, event);
                after = event.sequence;
              }
          } catch (error) {
            if (!(error instanceof MissingEventError)) throw error;
            after = error.sequence;
          }
        }
        return found;
      },
    };
  }
}
