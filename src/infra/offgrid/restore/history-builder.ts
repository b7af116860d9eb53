import type { ContentSource } from './content-sources.js';
import type { EntryList } from './entry-list.js';
import type { KnownPolicy, KnownState } from './history-notes.js';

/** A history that hosts show: its entries, and its line. */
export interface ListedHistory {
  readonly list: EntryList;
  readonly line: number;
}

/** The target of a reading: a log that is built, or an existing log that histories are compared with. */
export interface HistoryBuilder<Log> {
  /**
   * Gets the first events of a list. Resolves the number of the first that cannot be obtained, and that the history
   * does not declare as held by no host; undefined when all are present.
   */
  get(history: ListedHistory, to: number, sources: readonly ContentSource[]): Promise<number | undefined>;
  /** Like `get`, but past events that cannot be obtained, up to the last that can. Resolves how many there are then. */
  getPast(history: ListedHistory, to: number, sources: readonly ContentSource[]): Promise<number>;
  /** The log with exactly the first events of a list, which must have been obtained before. */
  finish(list: EntryList, length: number): Promise<Log>;
  /** The policies on the first events of a list, as far as these were obtained. */
  policies(list: EntryList, to: number): readonly KnownPolicy[];
  /** Which of the first events of a list no host has, as far as these were obtained. */
  holes(list: EntryList, to: number): readonly number[];
  /** The changes of host states on the first events of a list, as far as these were obtained. */
  states(list: EntryList, to: number): readonly KnownState[];
}
