import type { RootKey } from '../../crypto/root-key.js';
import { LogError } from '../../eventlog/errors.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { appendHistory, type HistoryEvent } from '../../transfer/copy-log.js';
import { MissingEventError, type ContentFetcher, type FetchedEvent, type LostEvent } from './content-fetcher.js';
import type { ContentSource } from './content-sources.js';
import { EntryList } from './entry-list.js';
import { NotAnEvent, NotSealedHere, EnvelopeReader, type OpenedEvent } from './envelope-reader.js';
import { GIVEN_AND_WITHHELD, RestoreError } from './errors.js';
import type { HistoryBuilder, ListedHistory } from './history-builder.js';
import { HistoryNotes, type KnownPolicy, type KnownState } from './history-notes.js';
import { declaredHoles, HolePlan, type Part } from './hole-plan.js';

const NO_HOLES: ReadonlySet<number> = new Set();
const NO_ENTRIES = new EntryList(new Uint8Array());
/** Events copied at a time from one log to the next. */
const PAGE = 1_000;
/**
 * How often holes are planned again when hosts no longer give what they gave: a dishonest host could repeat it forever.
 */
const MAX_PLANS = 8;

/** Dependencies of a log builder. */
export interface BuilderDependencies {
  readonly origin: string;
  readonly root: RootKey;
  /** Makes an empty log. The log that it is built from is still open then; the maker of both closes them. */
  readonly newLog: () => Promise<EventLog>;
  readonly fetcher: Pick<ContentFetcher, 'read' | 'readPast'>;
  readonly onProgress: (sequence: number, of: number) => void;
  /** Called when something cannot be obtained. */
  readonly onTrouble: (message: string) => void;
}

/** A log in the making: the first events of a history, opened. */
interface Build {
  readonly log: EventLog;
  readonly envelopes: EnvelopeReader;
  list: EntryList;
  written: number;
  readonly notes: HistoryNotes;
  /** The numbers of the events that are HistoryHoles. */
  readonly holes: number[];
}

/** The part of a history that is wanted. */
interface Wanted {
  readonly list: EntryList;
  readonly to: number;
  readonly sources: readonly ContentSource[];
}

/** Builds a log of the events that hosts give. When another history is wanted, it begins again with what both share. */
export class LogBuilder implements HistoryBuilder<EventLog> {
  readonly #dependencies: BuilderDependencies;
  #build: Build | undefined;

  constructor(dependencies: BuilderDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Gets the first events of a list into the log, with a hole for each that the history itself declares as held by no
   * host. Resolves the number of the first other event that no host gives; undefined when all are present.
   * @throws RestoreError when an event opens to nothing that a log can hold
   */
  async get({ list, line }: ListedHistory, to: number, sources: readonly ContentSource[]): Promise<number | undefined> {
    const build = await this.#on(list, to);
    if (build.written >= to) return undefined;
    const { fetcher, onTrouble } = this.#dependencies;
    const part = this.#part(build, { list, to, sources });
    // In the first line no loss was ever accepted.
    const declared = line === 1 ? NO_HOLES : await whole(declaredHoles(part));
    const missing =
      declared.size === 0
        ? await this.#append(build, fetcher.read(list, { after: build.written, to }, sources), to)
        : await this.#getDeclared(build, part, declared);
    if (missing !== undefined) onTrouble(`no host gives event ${missing} of a history of ${list.length} events`);
    return missing;
  }

  /**
   * Gets the first events of a list into the log, with a hole for each that no host gives before one that a host does.
   * Resolves how many events the log then has.
   * @throws RestoreError when an event opens to nothing that a log can hold
   */
  async getPast({ list, line }: ListedHistory, to: number, sources: readonly ContentSource[]): Promise<number> {
    const build = await this.#on(list, to);
    if (build.written >= to) return to;
    const part = this.#part(build, { list, to, sources });
    const lost = new Set(line === 1 ? NO_HOLES : await whole(declaredHoles(part)));
    for (let plans = 1; plans <= MAX_PLANS; plans += 1) {
      const rest = { ...part, after: build.written };
      const plan = await whole(HolePlan.of(rest, build.log, lost));
      const gone = await this.#follow(build, rest, plan, plan.last);
      if (gone === undefined) return Math.min(build.written, to);
      // The host that gave it when holes were planned does not give it now: from here on it counts as lost.
      lost.add(gone);
    }
    throw new RestoreError(GIVEN_AND_WITHHELD);
  }

  /** @returns the first event that no host gives, and that is not declared a hole */
  async #getDeclared(build: Build, part: Part, declared: ReadonlySet<number>): Promise<number | undefined> {
    const plan = await whole(HolePlan.of(part, build.log, declared));
    const lacking = plan.last < part.to ? plan.last + 1 : undefined;
    const missing = [...plan.missing].find((hole) => !declared.has(hole)) ?? lacking;
    const gone = await this.#follow(build, part, plan, missing === undefined ? plan.last : missing - 1);
    return gone ?? missing;
  }

  /**
   * Appends events as they arrive, with holes as planned.
   * @returns the first event that a host gave when holes were planned, and that cannot be obtained now
   */
  async #follow(build: Build, { list, sources }: Part, plan: HolePlan, end: number): Promise<number | undefined> {
    const range = { after: build.written, to: end };
    const pages = this.#dependencies.fetcher.readPast(list, range, sources, plan.missing);
    const gone = await this.#append(build, pages, end, (event) => plan.holeOf(event.sequence, list.at(event.sequence)));
    build.holes.push(...[...plan.missing].filter((hole) => hole > range.after && hole <= build.written));
    return gone;
  }

  /**
   * Appends events as they arrive.
   * @param holeOf the hole that stands for an event, if any
   * @returns the first event that cannot be obtained
   */
  async #append(
    build: Build,
    pages: AsyncIterable<readonly (FetchedEvent | LostEvent)[]>,
    to: number,
    holeOf: (event: FetchedEvent | LostEvent) => OpenedEvent | undefined = () => undefined,
  ): Promise<number | undefined> {
    let missing: number | undefined;
    const opened = async function* (): AsyncIterable<readonly OpenedEvent[]> {
      try {
        for await (const page of pages)
          yield page.map((event) => {
            const hole = holeOf(event);
            if (hole !== undefined) return hole;
            if (event.sealed === null) throw new MissingEventError(event.sequence);
            return build.envelopes.open(event);
          });
      } catch (error) {
        if (!(error instanceof MissingEventError)) throw error;
        missing = error.sequence;
      }
    };
    const append = async () => {
      for await (const page of appendHistory(opened(), build.log)) {
        for (const event of page) note(build, event);
        this.#dependencies.onProgress(build.written, to);
      }
    };
    await whole(append());
    return missing;
  }

  #part({ written: after, envelopes }: Build, wanted: Wanted): Part {
    const { origin, root, fetcher } = this.#dependencies;
    return { origin, root, fetcher, envelopes, after, ...wanted };
  }

  /** The log with exactly the first events of a list, which must have been obtained before. */
  async finish(list: EntryList, length: number): Promise<EventLog> {
    const on = await this.#on(list, length);
    const build = on.written > length ? await this.#begin(on, length) : on;
    if (build.written < length) throw new Error(`only ${build.written} of ${length} events of a history were obtained`);
    return build.log;
  }

  /** The policies on the first events of a list, as far as these were obtained. */
  policies(list: EntryList, to: number): readonly KnownPolicy[] {
    return this.#build?.notes.policies(this.#known(list, to)) ?? [];
  }

  /** Which of the first events of a list are holes, as far as these were obtained. */
  holes(list: EntryList, to: number): readonly number[] {
    const known = this.#known(list, to);
    return this.#build?.holes.filter((sequence) => sequence <= known) ?? [];
  }

  /** The changes of host states on the first events of a list, as far as these were obtained. */
  states(list: EntryList, to: number): readonly KnownState[] {
    return this.#build?.notes.states(this.#known(list, to)) ?? [];
  }

  #known(list: EntryList, to: number): number {
    if (this.#build === undefined) return 0;
    return Math.min(to, this.#build.written, this.#build.list.common(list));
  }

  /** A build whose events are the first of a list. */
  async #on(list: EntryList, to: number): Promise<Build> {
    const before = this.#build;
    const common = before === undefined ? 0 : Math.min(before.written, before.list.common(list));
    if (before !== undefined && (common === before.written || common >= to)) {
      before.list = common === before.written ? list : before.list;
      return before;
    }
    const build = await this.#begin(before, common);
    build.list = list;
    return build;
  }

  /** A new log with the first events of the previous one. */
  async #begin(before: Build | undefined, count: number): Promise<Build> {
    const { origin, root, newLog } = this.#dependencies;
    const { list } = before ?? { list: NO_ENTRIES };
    const build: Build = {
      ...{ log: await newLog(), envelopes: new EnvelopeReader(root, origin), list, written: 0 },
      notes: new HistoryNotes(origin),
      holes: before?.holes.filter((sequence) => sequence <= count) ?? [],
    };
    if (before !== undefined && count > 0)
      for await (const page of appendHistory(firstOf(before.log, count), build.log))
        for (const event of page) {
          build.envelopes.learn(event);
          note(build, event);
        }
    this.#build = build;
    return build;
  }
}

/** The first events of a log, page by page. */
async function* firstOf(log: EventLog, count: number): AsyncIterable<readonly HistoryEvent[]> {
  let page: HistoryEvent[] = [];
  for await (const event of log.readAll({ limit: count })) {
    page.push(event);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** Runs work. @throws RestoreError where an event can never be stored */
async function whole<R>(work: Promise<R>): Promise<R> {
  try {
    return await work;
  } catch (error) {
    throw unstorable(error) ?? error;
  }
}

function note(build: Build, event: HistoryEvent): void {
  build.written += 1;
  build.notes.note(build.written, event);
}

/** The error that ends a restore where an event can never be stored; undefined for any other error. */
function unstorable(error: unknown): RestoreError | undefined {
  const isSo =
    error instanceof NotAnEvent ||
    error instanceof NotSealedHere ||
    (error instanceof LogError && error.code === 'EVENT_INVALID');
  if (!isSo) return undefined;
  return new RestoreError(
    `${error.message} No log can hold this event, and the events after it cannot be numbered without it. The restore stops here.`,
    { cause: error },
  );
}
