import { LRUCache } from 'lru-cache';
import type { Decider, Recorded } from '../../domain/decider.js';
import type { Fact, RecordedEvent } from '../../domain/event.js';
import { upcast } from '../../domain/upcast.js';
import type { EventLog } from '../eventlog/eventlog.js';

/** The most memory for remembered states, in characters of their JSON. */
const MAX_CACHED_CHARACTERS = 32 * 1024 * 1024;
/** The estimated cost of an entry in addition to its data, in characters. */
const ENTRY_CHARACTERS = 300;
/** The estimated cost of one idempotency key, in characters. */
const KEY_CHARACTERS = 120;

/** An aggregate's state, with its revision in the stream and its position in the log. */
export interface Loaded<State> {
  readonly state: State;
  /** Revision of the last event; −1 when there is none. */
  readonly revision: bigint;
  /** Position of the last event; 0 when there is none. */
  readonly position: bigint;
  /**
   * Events of commands that carried an idempotency key, by event id. States of a stream that were folded from one another share
   * this map, so an earlier state may include keys of later events; those events are in the log.
   */
  readonly keyed: Map<string, { readonly hash: string; readonly revision: bigint }>;
}

/** Folds streams into states, and caches them so that only new events need to be read. */
export class States {
  readonly #log: EventLog;
  readonly #cache = new LRUCache<string, Loaded<unknown>>({
    maxSize: MAX_CACHED_CHARACTERS,
    sizeCalculation: ({ state, keyed }) =>
      JSON.stringify(state).length + keyed.size * KEY_CHARACTERS + ENTRY_CHARACTERS,
  });

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** The cached state, if there is one; it may be behind the log. */
  remembered<C, F extends Fact<string, object>, S>(_decider: Decider<C, F, S>, stream: string): Loaded<S> | undefined {
    return this.#cache.get(stream) as Loaded<S> | undefined;
  }

  /** The current state: the cached state, and the events since then from the log. */
  async load<C, F extends Fact<string, object>, S>(decider: Decider<C, F, S>, stream: string): Promise<Loaded<S>> {
    const known = this.remembered(decider, stream) ?? nothing(decider);
    let loaded = known;
    for await (const event of this.#log.readStream(stream, { from: known.revision + 1n })) {
      loaded = advance(decider, loaded, event);
    }
    if (loaded !== known) this.#cache.set(stream, loaded);
    return loaded;
  }

  /** The state directly after a revision. */
  async loadAt<C, F extends Fact<string, object>, S>(
    decider: Decider<C, F, S>,
    stream: string,
    revision: bigint,
  ): Promise<Loaded<S>> {
    let loaded = nothing(decider);
    for await (const event of this.#log.readStream(stream, { limit: Number(revision) + 1 })) {
      if (event.revision > revision) break;
      loaded = advance(decider, loaded, event);
    }
    return loaded;
  }

  /** Caches a state after its events were appended. */
  remember(stream: string, loaded: Loaded<unknown>): void {
    this.#cache.set(stream, loaded);
  }

  /** Drops the cached state of a stream. */
  forget(stream: string): void {
    this.#cache.delete(stream);
  }
}

/** The state of a stream without events. */
export function nothing<C, F extends Fact<string, object>, S>(decider: Decider<C, F, S>): Loaded<S> {
  return { state: decider.initial, revision: -1n, position: 0n, keyed: new Map() };
}

/**
 * The state after one more event.
 * @throws NewerEventError when a newer build wrote the event
 */
export function advance<C, F extends Fact<string, object>, S>(
  decider: Decider<C, F, S>,
  loaded: Loaded<S>,
  event: Pick<RecordedEvent, 'id' | 'type' | 'data' | 'metadata' | 'revision' | 'position'>,
): Loaded<S> {
  const { revision, position } = event;
  const { idempotency } = event.metadata;
  if (idempotency !== undefined) loaded.keyed.set(event.id, { hash: idempotency.hash, revision });
  // What the lost event changed is unknown, so a hole leaves the state as it is.
  if (event.type === 'HistoryHole') return { ...loaded, revision, position };
  const current = upcast(event) as unknown as Recorded<F>;
  return { state: decider.evolve(loaded.state, current), revision, position, keyed: loaded.keyed };
}
