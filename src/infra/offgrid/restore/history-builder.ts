import type { ContentSource } from './content-fetcher.js';
import type { EntryList } from './entry-list.js';
import type { KnownPolicy, KnownState } from './history-notes.js';

/** A history that hosts show: its entries, and the line that it is of. */
export interface Story {
  readonly list: EntryList;
  readonly line: number;
}

/** What histories are got into: a log that is built, or one that is there and compared with them. */
export interface HistoryBuilder<Log> {
  /**
   * Gets the first events of a list. Resolves the number of the first that cannot be had, though the history does not say that
   * nobody has it; undefined when all are there.
   */
  get(story: Story, to: number, sources: readonly ContentSource[]): Promise<number | undefined>;
  /** The same, past those that cannot be had, up to the last that can. Resolves how many there are then. */
  getPast(story: Story, to: number, sources: readonly ContentSource[]): Promise<number>;
  /** What has the first events of a list, which were got, and no others. */
  finish(list: EntryList, length: number): Promise<Log>;
  /** The policies on the first events of a list, as far as they were got. */
  policies(list: EntryList, to: number): readonly KnownPolicy[];
  /** Which of the first events of a list nobody has, as far as they were got. */
  holes(list: EntryList, to: number): readonly number[];
  /** How hosts came into other states on the first events of a list, as far as they were got. */
  states(list: EntryList, to: number): readonly KnownState[];
}
