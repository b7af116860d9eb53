import { isReplicationFact, type HostState, type Policy } from '../../../domain/replication.js';
import type { PolicyOnHistory } from '../../../domain/reading.js';
import type { RootKey } from '../../crypto/root-key.js';
import { LogError } from '../../eventlog/errors.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { appendHistory, type HistoryEvent } from '../../transfer/copy-log.js';
import { NotAnEvent, NotSealedHere, Opener, type OpenedEvent } from '../restore/opener.js';
import { MissingEventError, type ContentFetcher, type ContentSource } from './content-fetcher.js';
import { EntryList } from './entry-list.js';
import { RestoreError } from './restore-error.js';

const NO_ENTRIES = new EntryList(new Uint8Array());
/** Events copied at a time from one log to the next. */
const PAGE = 1_000;

/** What a log is built with. */
export interface BuilderDependencies {
  readonly origin: string;
  readonly root: RootKey;
  /** An empty log. The one that it was built from is still open then; both are closed by whoever made them. */
  readonly newLog: () => Promise<EventLog>;
  readonly fetcher: Pick<ContentFetcher, 'read'>;
  readonly onProgress: (sequence: number, of: number) => void;
}

/** A policy with its version. */
export type KnownPolicy = PolicyOnHistory & { readonly policy: Policy };

/** A host came into a state with an event. */
export interface KnownState {
  readonly sequence: number;
  readonly host: string;
  readonly state: HostState;
}

/** A log in the making: the first events of a history, opened. */
interface Build {
  readonly log: EventLog;
  readonly opener: Opener;
  list: EntryList;
  written: number;
  readonly policies: KnownPolicy[];
  readonly states: KnownState[];
}

/** Builds a log of the events that hosts give back. When another history is wanted, it begins again with what both have. */
export class LogBuilder {
  readonly #dependencies: BuilderDependencies;
  #build: Build | undefined;

  constructor(dependencies: BuilderDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Gets the first events of a list into the log. Resolves the number of the first that no host gives; undefined when all
   * are there.
   * @throws RestoreError when an event opens to nothing that a log can hold
   */
  async get(list: EntryList, to: number, sources: readonly ContentSource[]): Promise<number | undefined> {
    const build = await this.#on(list, to);
    if (build.written >= to) return undefined;
    const { fetcher, onProgress } = this.#dependencies;
    let missing: number | undefined;
    const opened = async function* (): AsyncIterable<readonly OpenedEvent[]> {
      try {
        for await (const page of fetcher.read(list, { after: build.written, to }, sources))
          yield page.map((event) => build.opener.open(event));
      } catch (error) {
        if (!(error instanceof MissingEventError)) throw error;
        missing = error.sequence;
      }
    };
    try {
      for await (const page of appendHistory(opened(), build.log)) {
        for (const event of page) note(build, event, this.#dependencies.origin);
        onProgress(build.written, to);
      }
    } catch (error) {
      throw unstorable(error) ?? error;
    }
    return missing;
  }

  /** The log of the first events of a list, which have been got, and no others. */
  async finish(list: EntryList, length: number): Promise<EventLog> {
    const on = await this.#on(list, length);
    const build = on.written > length ? await this.#begin(on, length) : on;
    if (build.written < length) throw new Error(`of ${length} events of a history, ${build.written} were got`);
    return build.log;
  }

  /** The policies on the first events of a list, as far as they were got. */
  policies(list: EntryList, to: number): readonly KnownPolicy[] {
    const known = this.#known(list, to);
    return this.#build?.policies.filter(({ sequence }) => sequence <= known) ?? [];
  }

  /** How hosts came into other states on the first events of a list, as far as they were got. */
  states(list: EntryList, to: number): readonly KnownState[] {
    const known = this.#known(list, to);
    return this.#build?.states.filter(({ sequence }) => sequence <= known) ?? [];
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

  /** Another log with the first events of the one there was. */
  async #begin(before: Build | undefined, count: number): Promise<Build> {
    const { origin, root, newLog } = this.#dependencies;
    const { list } = before ?? { list: NO_ENTRIES };
    const build: Build = {
      ...{ log: await newLog(), opener: new Opener(root, origin), list, written: 0, policies: [], states: [] },
    };
    if (before !== undefined && count > 0)
      for await (const page of appendHistory(firstOf(before.log, count), build.log))
        for (const event of page) {
          build.opener.learn(event);
          note(build, event, origin);
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

/** Notes what an event says of policies and hosts, as the outbox folds it: of two policies of one version the first is the one. */
function note(build: Build, { type, data }: HistoryEvent, origin: string): void {
  const sequence = (build.written += 1);
  if (data['origin'] !== origin) return;
  if (type === 'HostStateChanged' && isReplicationFact({ type, data })) {
    const { host, state } = data as unknown as { host: string; state: HostState };
    build.states.push({ sequence, host, state });
  }
  if (type !== 'ReplicationPolicySet' || !isReplicationFact({ type, data })) return;
  const { version, hosts, required, line = 1 } = data as unknown as Policy & { readonly line?: number };
  const { policies } = build;
  if (policies.some(({ policy }) => policy.version === version)) return;
  const current = policies.at(-1)?.line ?? 1;
  policies.push({ policy: { version, hosts, required }, line: Math.max(current, line), sequence });
}

/** What ends a restore where an event can never be stored; undefined for any other error. */
function unstorable(error: unknown): RestoreError | undefined {
  const isSo =
    error instanceof NotAnEvent ||
    error instanceof NotSealedHere ||
    (error instanceof LogError && error.code === 'EVENT_INVALID');
  if (!isSo) return undefined;
  return new RestoreError(
    `${error.message} No log can hold it, and what comes after it cannot be numbered without it: the restore stops here.`,
    { cause: error },
  );
}
