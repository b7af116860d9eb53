import { backoffMs } from '../../../domain/backoff.js';
import { equalBytes } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Time } from '../../platform/clock.js';
import { firstOf } from '../../platform/linked-signal.js';
import { Nudge } from '../../platform/nudge.js';
import type { Entry } from '../protocol/entry.js';
import type { NumberedEvent } from '../protocol/event.js';
import { MAX_ANSWER_EVENTS } from '../protocol/events-answer.js';
import { HostFailure } from '../protocol/host-client.js';
import { MAX_ANSWER_BYTES } from '../protocol/queries.js';
import { FIRST_BYTES, sizeAfter, sizeAfterTimeout } from '../protocol/transfer-size.js';
import type { ContentSource } from './content-sources.js';
import type { EntryList } from './entry-list.js';
import { LOOK_MS } from './hedge.js';
import { UsualTime } from './usual-time.js';

/** A host with this many timeouts is asked last. */
const MAX_TIMEOUTS = 2;
/** How long, in milliseconds, and at least how often a host is asked for a page that it did not give for a temporary reason. */
const PATIENCE_MS = 300_000;
const MIN_TRIES = 4;
/** The most that pages may wait for those before them, in bytes and in number. */
const MAX_AHEAD_BYTES = 16 * 1024 * 1024;
const MAX_AHEAD = 64;
/** The assumed size of an envelope before any has arrived, in bytes. */
const USUAL_BYTES = 700;

/** An event with the host that gave it. */
export interface FetchedEvent extends NumberedEvent {
  readonly host: string;
}

/** An event whose content no host gives. */
export interface LostEvent extends Entry {
  readonly sequence: number;
  readonly sealed: null;
}

/** No host gives an event. */
export class MissingEventError extends Error {
  override readonly name = 'MissingEventError';
  readonly sequence: number;

  constructor(sequence: number) {
    super(`No host gives event ${sequence}.`);
    this.sequence = sequence;
  }
}

/** Dependencies of a content fetcher. */
export interface FetcherDependencies {
  readonly origin: string;
  readonly time: Time;
  /** Called when something is wrong with what a host gives. */
  readonly onTrouble: (host: string, why: string) => void;
}

/** A run of events that is fetched as one. */
interface Page {
  readonly from: number;
  readonly to: number;
  /** Null: no host is asked for it. */
  readonly contents: ({ readonly sealed: Uint8Array; readonly host: string } | null | undefined)[];
  /** How often each source has failed to give it, and since when; `isFinal`: it does not have what is missing. */
  readonly failures: Map<ContentSource, { readonly tries: number; readonly since: number; readonly isFinal: boolean }>;
  readonly asked: Set<Asking>;
}

interface Asking {
  readonly worker: Worker;
  readonly since: number;
  readonly giveUp: AbortController;
}

/** One host at work. */
interface Worker {
  readonly source: ContentSource;
  pageBytes: number;
  timeouts: number;
  failures: number;
  readonly usual: UsualTime;
}

/**
 * Fetches the contents of a history, each by its address, from several hosts at the same time: what one does not give, gives
 * wrong, or gives too slowly, is taken from another.
 */
export class ContentFetcher {
  readonly #dependencies: FetcherDependencies;
  /** Hosts that were waited for as long as allowed: until one of them answers again, it is no longer waited for. */
  readonly #gone = new Set<string>();

  constructor(dependencies: FetcherDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * The events after the event `after`, up to the event `to`, in order.
   * @throws MissingEventError when no host gives one
   */
  async *read(
    list: EntryList,
    { after, to }: { readonly after: number; readonly to: number },
    sources: readonly ContentSource[],
  ): AsyncIterable<readonly FetchedEvent[]> {
    for await (const page of this.#run(list, { after, to }, sources)) yield page.filter(isFetched);
  }

  /**
   * Like `read`, but past events that no host gives, up to the last event that a host shows to have.
   * @param lost events that are known to be lost: no host is asked for them
   */
  readPast(
    list: EntryList,
    { after, to }: { readonly after: number; readonly to: number },
    sources: readonly ContentSource[],
    lost: ReadonlySet<number>,
  ): AsyncIterable<readonly (FetchedEvent | LostEvent)[]> {
    return this.#run(list, { after, to }, sources, lost);
  }

  async *#run(
    list: EntryList,
    range: { readonly after: number; readonly to: number },
    sources: readonly ContentSource[],
    lost?: ReadonlySet<number>,
  ): AsyncIterable<readonly (FetchedEvent | LostEvent)[]> {
    const run = new Run(list, range, sources, this.#dependencies, this.#gone, lost);
    try {
      yield* run.pages();
    } finally {
      await run.end();
    }
  }
}

/** One reading. */
class Run {
  /** Events that no host is asked for; undefined: an event that no host gives ends the reading. */
  readonly #lost: ReadonlySet<number> | undefined;
  readonly #list: EntryList;
  readonly #to: number;
  readonly #dependencies: FetcherDependencies;
  readonly #gone: Set<string>;
  readonly #workers: readonly Worker[];
  readonly #pages: Page[] = [];
  readonly #changed = new Nudge();
  readonly #ending = new AbortController();
  readonly #working: Promise<unknown>;
  /** The next event that no page has. */
  #next: number;
  #usualBytes = USUAL_BYTES;
  #failure: unknown;

  constructor(
    list: EntryList,
    { after, to }: { readonly after: number; readonly to: number },
    sources: readonly ContentSource[],
    dependencies: FetcherDependencies,
    gone: Set<string>,
    lost: ReadonlySet<number> | undefined,
  ) {
    this.#lost = lost;
    this.#list = list;
    this.#to = to;
    this.#next = after + 1;
    this.#dependencies = dependencies;
    this.#gone = gone;
    this.#workers = sources.map((source) => ({
      ...{ source, pageBytes: FIRST_BYTES, timeouts: 0, failures: 0, usual: new UsualTime() },
    }));
    this.#working = Promise.all(
      this.#workers.map((worker) =>
        this.#work(worker).catch((error: unknown) => {
          this.#failure ??= error;
          this.#changed.notify();
        }),
      ),
    );
  }

  async *pages(): AsyncIterable<readonly (FetchedEvent | LostEvent)[]> {
    const { signal } = this.#ending;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure as Error;
      const [page] = this.#pages;
      if (page === undefined) {
        if (this.#next > this.#to) return;
        if (!this.#workers.some(({ source }) => isReached(source, this.#next))) {
          if (this.#lost !== undefined) return;
          throw new MissingEventError(this.#next);
        }
        await this.#changed.wait(signal);
        continue;
      }
      const missing = nextMissing(page, page.from);
      if (missing !== undefined) {
        if (page.asked.size > 0 || this.#workers.some((worker) => mayGive(worker, page))) {
          await this.#changed.wait(signal);
          continue;
        }
        if (this.#lost === undefined) throw new MissingEventError(missing);
      }
      this.#pages.shift();
      this.#changed.notify();
      yield this.#eventsOf(page);
    }
  }

  /** Aborts the requests in progress. */
  async end(): Promise<void> {
    this.#ending.abort();
    for (const page of this.#pages) for (const { giveUp } of page.asked) giveUp.abort();
    await this.#working;
  }

  async #work(worker: Worker): Promise<void> {
    const { time } = this.#dependencies;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const page = this.#pick(worker);
      if (page === undefined) {
        await firstOf(signal, (waiting) => [this.#changed.wait(waiting), time.sleep(LOOK_MS, waiting)]);
        continue;
      }
      const waitMs = await this.#ask(worker, page);
      this.#changed.notify();
      if (waitMs > 0) await time.sleep(waitMs, signal);
    }
  }

  /** What a host is asked for next: the first page that no host is asked for, or that is late at others. */
  #pick(worker: Worker): Page | undefined {
    const isLast = worker.timeouts >= MAX_TIMEOUTS;
    for (const page of this.#pages) {
      if (!mayGive(worker, page) || isWhole(page)) continue;
      if (isLast && this.#workers.some((other) => other.timeouts < MAX_TIMEOUTS && mayGive(other, page))) continue;
      if (!worker.source.isSure && this.#workers.some((other) => other.source.isSure && mayGive(other, page))) continue;
      const asked = [...page.asked];
      if (asked.some((asking) => asking.worker === worker)) continue;
      if (asked.length === 0 || (asked.length === 1 && asked.every((asking) => this.#isLate(asking, 1)))) return page;
      if (asked.length === 2 && asked.every((asking) => this.#isLate(asking, 2))) {
        asked[0]?.giveUp.abort();
        return page;
      }
    }
    const mayOther = (other: Worker) => other.timeouts < MAX_TIMEOUTS && isReached(other.source, this.#next);
    const isIdle = isLast && this.#workers.some(mayOther);
    return isIdle ? undefined : this.#newPage(worker);
  }

  #isLate({ worker: { usual }, since }: Asking, times: number): boolean {
    return this.#dependencies.time.now().getTime() - since > times * usual.patienceMs;
  }

  #newPage({ source, pageBytes }: Worker): Page | undefined {
    const mayOther = (other: ContentSource) => other.isSure && isReached(other, this.#next);
    if (!source.isSure && this.#workers.some((other) => mayOther(other.source))) return undefined;
    const ahead = this.#pages.reduce((sum, { from, to }) => sum + (to - from + 1) * this.#usualBytes, 0);
    if (this.#next > this.#to || this.#pages.length >= MAX_AHEAD || ahead > MAX_AHEAD_BYTES) return undefined;
    if (!isReached(source, this.#next)) return undefined;
    const reach = this.#next <= source.reach.head ? source.reach.head : source.reach.staged;
    const count = Math.max(1, Math.min(MAX_ANSWER_EVENTS, Math.floor(pageBytes / this.#usualBytes)));
    const [from, to] = [this.#next, Math.min(this.#next + count - 1, this.#to, reach)];
    this.#next = to + 1;
    const contents = Array.from({ length: to - from + 1 }, (_, i) =>
      this.#lost?.has(from + i) === true ? null : undefined,
    );
    const page: Page = { from, to, contents, failures: new Map(), asked: new Set() };
    this.#pages.push(page);
    return page;
  }

  /** Asks a host for what is missing of a page. Returns how long to leave it alone, in milliseconds. */
  async #ask(worker: Worker, page: Page): Promise<number> {
    const { time, onTrouble } = this.#dependencies;
    const { host, isSure } = worker.source;
    const giveUp = new AbortController();
    const asking: Asking = { worker, since: time.now().getTime(), giveUp };
    page.asked.add(asking);
    try {
      const isGiven = await this.#fill(worker, page, giveUp.signal);
      worker.failures = 0;
      this.#gone.delete(host);
      if (isWhole(page)) return 0;
      page.failures.set(worker.source, { tries: 1, since: asking.since, isFinal: true });
      if (!isGiven && isSure)
        onTrouble(host, `it does not give all of the events ${page.from} to ${page.to} as they were sealed`);
      return 0;
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      // Another host was faster, or the reading has ended.
      if (giveUp.signal.aborted) return 0;
      return this.#failed(worker, page, error);
    } finally {
      page.asked.delete(asking);
      if (isWhole(page)) for (const other of page.asked) other.giveUp.abort();
    }
  }

  #failed(worker: Worker, page: Page, error: HostFailure): number {
    const { time, onTrouble } = this.#dependencies;
    const { host } = worker.source;
    worker.failures += 1;
    if (error.code === 'TIMEOUT') {
      worker.timeouts += 1;
      worker.pageBytes = sizeAfterTimeout(worker.pageBytes);
    }
    const now = time.now().getTime();
    const { tries, since } = page.failures.get(worker.source) ?? { tries: 0, since: now };
    const { refusal } = error;
    if (tries + 1 >= MIN_TRIES && now - since > PATIENCE_MS) this.#gone.add(host);
    // What the host no longer has does not return by asking again.
    const isFinal = refusal?.code === 'NOT_FOUND' || this.#gone.has(host);
    page.failures.set(worker.source, { tries: tries + 1, since, isFinal });
    onTrouble(host, error.message);
    return Math.max(refusal?.code === 'BUSY' ? refusal.wait * 1_000 : 0, backoffMs(worker.failures, time.random()));
  }

  /** Resolves false when the host does not give what it shows, or gives it wrong. */
  async #fill(worker: Worker, page: Page, signal: AbortSignal): Promise<boolean> {
    const { origin, time } = this.#dependencies;
    const { host, client, reach } = worker.source;
    for (let at = nextMissing(page, page.from); at !== undefined;) {
      if (!isReached(worker.source, at)) return true;
      const begun = time.now().getTime();
      const of = at <= reach.head ? 'head' : 'staged';
      const to = Math.min(page.to, reach[of]);
      const query = {
        of,
        after: at - 1,
        limit: to - at + 1,
        bytes: Math.min(worker.pageBytes, MAX_ANSWER_BYTES),
      } as const;
      const events = await client.events(origin, query, signal);
      this.#timed(worker, time.now().getTime() - begun);
      const last = events.at(-1)?.sequence ?? 0;
      if (last < at || last > page.to) return false;
      for (const { sequence, sealed } of events) {
        if (sequence < page.from || sequence > page.to || sealed === null) continue;
        if (!equalBytes(addressOf(sealed), this.#list.at(sequence).eid)) continue;
        const at = sequence - page.from;
        if (page.contents[at] === undefined) page.contents[at] = { sealed, host };
        this.#usualBytes += (sealed.byteLength - this.#usualBytes) / MAX_ANSWER_EVENTS;
      }
      at = nextMissing(page, last + 1);
    }
    return isWhole(page);
  }

  #timed(worker: Worker, took: number): void {
    worker.usual.add(took);
    worker.pageBytes = sizeAfter(worker.pageBytes, took, MAX_ANSWER_BYTES);
  }

  #eventsOf({ from, contents }: Page): readonly (FetchedEvent | LostEvent)[] {
    return contents.map((content, i) => {
      const entry = this.#list.at(from + i);
      if (!content) return { sequence: from + i, ...entry, sealed: null };
      const { etype, ts } = entry;
      return { sequence: from + i, etype, ts, ...content };
    });
  }
}

function isFetched(event: FetchedEvent | LostEvent): event is FetchedEvent {
  return event.sealed !== null;
}

function isReached({ reach }: ContentSource, sequence: number): boolean {
  return sequence <= reach.head || sequence <= reach.staged;
}

function isWhole({ contents }: Page): boolean {
  return contents.every((content) => content !== undefined);
}

/** The first missing event of a page, from `start` on. */
function nextMissing({ from, contents }: Page, start: number): number | undefined {
  const index = contents.findIndex((content, i) => content === undefined && from + i >= start);
  return index < 0 ? undefined : from + index;
}

function mayGive({ source }: Worker, page: Page): boolean {
  const isFinal = page.failures.get(source)?.isFinal === true;
  const missing = nextMissing(page, page.from);
  return !isFinal && missing !== undefined && isReached(source, missing);
}
