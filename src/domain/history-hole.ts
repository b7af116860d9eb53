import type { Fact } from './event.js';

/**
 * Stands in a log for a replicated event whose content nobody has any more: a loss was accepted. What the origin has signed of
 * the event is known and stays, so every number and every root is as it was.
 */
export type HistoryHole = Fact<
  'HistoryHole',
  {
    readonly origin: string;
    /** The number of the event. */
    readonly sequence: number;
    /** The number of its type. */
    readonly etype: number;
    /** Its own time in milliseconds since 1970. */
    readonly ts: number;
    /** The address of its content: SHA-256, hexadecimal. */
    readonly eid: string;
  }
>;

/** The most holes of a log. */
export const MAX_HOLES = 10_000;

const EID = /^[0-9a-f]{64}$/;

/** Whether the data of an event is that of a hole. */
export function isHistoryHole(data: object): data is HistoryHole['data'] {
  const { origin, sequence, etype, ts, eid } = data as Readonly<Record<string, unknown>>;
  return (
    typeof origin === 'string' &&
    [sequence, etype, ts].every(Number.isSafeInteger) &&
    typeof eid === 'string' &&
    EID.test(eid)
  );
}

/** Where an event lies: a stream, and the place in it. */
export interface StreamPlace {
  readonly stream: string;
  readonly revision: bigint;
}

/**
 * Tells of which streams the events were whose content is missing, by the revisions that those around them leave out. In
 * a history every stream has the revisions 0, 1, 2 … without gaps, so each revision that is left out was one of the missing
 * events, later than the event before it in its stream and earlier than the one after it.
 */
export class HolePlaces {
  readonly #known = new Map<string, { readonly revision: bigint; readonly sequence: number }>();
  readonly #gaps: { readonly place: StreamPlace; readonly after: number; readonly before: number }[] = [];

  /** Whether anything is known of a stream. */
  has(stream: string): boolean {
    return this.#known.has(stream);
  }

  /** Takes the last revision of a stream before the first missing event; −1 when it has none, as one that is not begun. */
  begin(stream: string, revision: bigint): void {
    this.#known.set(stream, { revision, sequence: 0 });
  }

  /** Takes the next event there is. */
  note(sequence: number, { stream, revision }: StreamPlace): void {
    const last = this.#known.get(stream) ?? { revision: -1n, sequence: 0 };
    // More than there may be holes are too many, however many more they are.
    for (let left = last.revision + 1n; left < revision && this.#gaps.length <= MAX_HOLES; left += 1n)
      this.#gaps.push({ place: { stream, revision: left }, after: last.sequence, before: sequence });
    this.#known.set(stream, { revision, sequence });
  }

  /**
   * The places of missing events, by their numbers. One that was the last of its stream has none: nothing tells which that was.
   * @param missing in order
   * @returns undefined when there are gaps that these events cannot have left
   */
  of(missing: readonly number[]): ReadonlyMap<number, StreamPlace> | undefined {
    const places = new Map<number, StreamPlace>();
    // Each gap goes to the first event that may have left it, that which must be left soonest first.
    const gaps = [...this.#gaps].sort((a, b) => a.before - b.before);
    for (const sequence of missing) {
      const index = gaps.findIndex(({ after, before }) => after < sequence && sequence < before);
      const [gap] = index < 0 ? [] : gaps.splice(index, 1);
      if (gap !== undefined) places.set(sequence, gap.place);
    }
    return gaps.length === 0 ? places : undefined;
  }
}
