import { ETYPES } from '../../../domain/event.js';
import { HolePlaces, MAX_HOLES, type HistoryHole, type StreamPlace } from '../../../domain/history-hole.js';
import { isReplicationFact, replicationStream } from '../../../domain/replication.js';
import { toHex } from '../../crypto/bytes.js';
import { derivedId } from '../../commands/ids.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import type { Entry } from '../protocol/entry.js';
import { MissingEventError, type ContentFetcher, type ContentSource, type FetchedEvent } from './content-fetcher.js';
import type { EntryList } from './entry-list.js';
import { NotSealedHere, type OpenedEvent, type Opener } from './opener.js';
import { RestoreError } from './restore-error.js';

/** Whom a hole is by. */
const ACTOR = 'process:restore';

/** A part of a history: what follows the first `after` events, up to the event `to`. */
interface Part {
  readonly origin: string;
  readonly list: EntryList;
  readonly after: number;
  readonly to: number;
  readonly sources: readonly ContentSource[];
  readonly fetcher: Pick<ContentFetcher, 'read' | 'readPast'>;
  /** What has learnt the keys of the events before. */
  readonly opener: Opener;
}

/** Which events of a part of a history nobody gives, and where in the log what stands for them goes. */
export class HolePlan {
  /** The last event that somebody gives. */
  readonly last: number;
  /** The events before it that nobody does. */
  readonly missing: ReadonlySet<number>;
  readonly #origin: string;
  readonly #places: ReadonlyMap<number, StreamPlace>;

  private constructor(origin: string, last: number, places: ReadonlyMap<number, StreamPlace>) {
    this.#origin = origin;
    this.last = last;
    this.missing = new Set(places.keys());
    this.#places = places;
  }

  /**
   * Reads a part of a history to its end. An event that does not open is as good as missing: the key that it was sealed with may be.
   * @param log with the events before
   * @throws RestoreError when the revisions of streams do not fit what is missing; NotAnEvent
   */
  static async of({ origin, list, after, to, sources, fetcher, opener }: Part, log: EventLog): Promise<HolePlan> {
    const reader = opener.copy();
    const headOf = async (stream: string) => {
      for await (const { revision } of log.readStream(stream, { direction: 'backward', limit: 1 })) return revision;
      return -1n;
    };
    const places = new HolePlaces(headOf);
    let [last, lost]: [number, number[]] = [after, []];
    const missing: number[] = [];
    for await (const page of fetcher.readPast(list, { after, to }, sources)) {
      for (const event of page) {
        const opened = event.sealed === null ? undefined : openedBy(reader, event);
        if (opened === undefined) lost.push(event.sequence);
        if (opened === undefined || missing.length + lost.length > MAX_HOLES) continue;
        missing.push(...lost);
        [last, lost] = [event.sequence, []];
        await places.note(event.sequence, opened);
      }
      if (missing.length + lost.length > MAX_HOLES) break;
    }
    const found = places.of(missing);
    if (found === undefined)
      throw new RestoreError(
        `Of the events ${after + 1} to ${last} of '${origin}', ${missing.length} cannot be had, and streams lack others than these: no log can hold the rest.`,
      );
    const spare = `${replicationStream(origin)}/holes`;
    let revision = await headOf(spare);
    const placed = missing.map((sequence): [number, StreamPlace] => {
      const place = found.get(sequence) ?? { stream: spare, revision: (revision += 1n) };
      return [sequence, place];
    });
    return new HolePlan(origin, last, new Map(placed));
  }

  /** What stands in the log for an event that is missing; undefined for one that is not. */
  holeOf(sequence: number, { etype, ts, eid }: Entry): OpenedEvent | undefined {
    const place = this.#places.get(sequence);
    if (place === undefined) return undefined;
    const data: HistoryHole['data'] = { origin: this.#origin, sequence, etype, ts, eid: toHex(eid) };
    const id = derivedId('HistoryHole', this.#origin, sequence, data.eid);
    const by = { actor: ACTOR, correlationId: id, causationId: id, schemaVersion: 1 };
    const metadata = { at: new Date(ts).toISOString(), ...by };
    return { ...place, id, type: 'HistoryHole', etype: ETYPES.HistoryHole, sequence, data, metadata };
  }
}

/**
 * The numbers of events that a history itself says nobody has: a later policy, which began a line where a loss was accepted, names
 * them.
 */
export async function declaredHoles(part: Part): Promise<ReadonlySet<number>> {
  const { origin, list, after, to, sources, fetcher } = part;
  const opener = part.opener.copy();
  const declared = new Set<number>();
  for (let sequence = after + 1; sequence <= to; sequence += 1) {
    const { etype } = list.at(sequence);
    if (etype !== ETYPES.ReplicationPolicySet && etype !== ETYPES.KeyRotated) continue;
    try {
      for await (const page of fetcher.read(list, { after: sequence - 1, to: sequence }, sources))
        for (const event of page) for (const hole of holesBy(opener.open(event), origin)) declared.add(hole);
    } catch (error) {
      if (!(error instanceof MissingEventError) && !(error instanceof NotSealedHere)) throw error;
    }
  }
  return declared;
}

/** The holes that an event of a log declares: the policy that begins a line, and what announces one. */
export function holesBy({ type, data }: Pick<OpenedEvent, 'type' | 'data'>, origin: string): readonly number[] {
  if (type !== 'ReplicationPolicySet' && type !== 'ReplicasAcknowledged') return [];
  if (data['origin'] !== origin || !isReplicationFact({ type, data })) return [];
  return (data['holes'] as readonly number[] | undefined) ?? [];
}

function openedBy(opener: Opener, event: FetchedEvent): OpenedEvent | undefined {
  try {
    return opener.open(event);
  } catch (error) {
    if (error instanceof NotSealedHere) return undefined;
    throw error;
  }
}
