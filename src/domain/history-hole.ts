import type { Fact } from './event.js';

/**
 * Replaces in a log a replicated event whose content no one has any more, after a loss was accepted. The entry that the origin
 * signed for the event is known and kept, so every sequence and every root is unchanged.
 */
export type HistoryHole = Fact<
  'HistoryHole',
  {
    readonly origin: string;
    /** The sequence of the event. */
    readonly sequence: number;
    /** The number of its type. */
    readonly etype: number;
    /** The event's own time, in milliseconds since 1970. */
    readonly ts: number;
    /** The address of its content: SHA-256, hexadecimal. */
    readonly eid: string;
  }
>;

/** The most holes that a log may have. */
export const MAX_HOLES = 10_000;

const EID = /^[0-9a-f]{64}$/;

/** Whether the data of an event has the shape of a HistoryHole. */
export function isHistoryHole(data: object): data is HistoryHole['data'] {
  const { origin, sequence, etype, ts, eid } = data as Readonly<Record<string, unknown>>;
  return (
    typeof origin === 'string' &&
    [sequence, etype, ts].every(Number.isSafeInteger) &&
    typeof eid === 'string' &&
    EID.test(eid)
  );
}

/** The place of an event: its stream and its revision. */
export interface StreamPlace {
  readonly stream: string;
  readonly revision: bigint;
}

/**
 * Finds the streams of the events whose content is missing, from gaps in the revisions of the known events. In a history every
 * stream has the revisions 0, 1, 2 … without gaps, so each absent revision belonged to one of the missing events, which is
 * later than the event before it in its stream and earlier than the one after it.
 */
export class HolePlaces {
  readonly #known = new Map<string, { readonly revision: bigint; readonly sequence: number }>();
  readonly #gaps: { readonly place: StreamPlace; readonly after: number; readonly before: number }[] = [];

  /** Whether anything is known of a stream. */
  has(stream: string): boolean {
    return this.#known.has(stream);
  }

  /** Records the last revision of a stream before the first missing event; −1 for a stream without events by then. */
  begin(stream: string, revision: bigint): void {
    this.#known.set(stream, { revision, sequence: 0 });
  }

  /** Records the next event whose content is known. */
  note(sequence: number, { stream, revision }: StreamPlace): void {
    const last = this.#known.get(stream) ?? { revision: -1n, sequence: 0 };
    // More gaps than the allowed holes are refused in any case, so no more are counted.
    for (let left = last.revision + 1n; left < revision && this.#gaps.length <= MAX_HOLES; left += 1n)
      this.#gaps.push({ place: { stream, revision: left }, after: last.sequence, before: sequence });
    this.#known.set(stream, { revision, sequence });
  }

  /**
   * The places of missing events, by sequence. An event that was the last of its stream has none: its stream cannot be found.
   * @param missing the sequences of the missing events, in ascending order
   * @returns undefined when there are gaps that these events cannot have left
   */
  of(missing: readonly number[]): ReadonlyMap<number, StreamPlace> | undefined {
    const places = new Map<number, StreamPlace>();
    // Each missing event takes, of the gaps that it may have left, the one that ends first.
    const gaps = [...this.#gaps].sort((a, b) => a.before - b.before);
    for (const sequence of missing) {
      const index = gaps.findIndex(({ after, before }) => after < sequence && sequence < before);
      const [gap] = index < 0 ? [] : gaps.splice(index, 1);
      if (gap !== undefined) places.set(sequence, gap.place);
    }
    return gaps.length === 0 ? places : undefined;
  }
}
