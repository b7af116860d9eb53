import { ETYPES } from '../../../domain/event.js';
import { HolePlaces, MAX_HOLES, type HistoryHole, type StreamPlace } from '../../../domain/history-hole.js';
import { isKeyRotated } from '../../../domain/keyring.js';
import { isReplicationFact, replicationStream } from '../../../domain/replication.js';
import { toHex } from '../../crypto/bytes.js';
import type { DataKey } from '../../crypto/data-key.js';
import type { RootKey } from '../../crypto/root-key.js';
import { type EventLog, lastRevision } from '../../eventlog/eventlog.js';
import { derivedId } from '../../platform/ids.js';
import type { Entry } from '../protocol/entry.js';
import type { ContentFetcher, FetchedEvent } from './content-fetcher.js';
import type { ContentSource } from './content-sources.js';
import type { EntryList } from './entry-list.js';
import { NotSealedHere, EnvelopeReader, type OpenedEvent } from './envelope-reader.js';
import { RestoreError } from './errors.js';

/** The actor of a hole. */
const ACTOR = 'process:restore';

/** A part of a history: the events after the event `after`, up to the event `to`. */
export interface Part {
  readonly origin: string;
  readonly root: RootKey;
  readonly list: EntryList;
  readonly after: number;
  readonly to: number;
  readonly sources: readonly ContentSource[];
  readonly fetcher: Pick<ContentFetcher, 'readPast'>;
  /** The reader that has learnt the keys of the events before. */
  readonly envelopes: EnvelopeReader;
}

/** Which events of a part of a history no host gives, and where in the log the holes for them go. */
export class HolePlan {
  /** The last event that a host gives. */
  readonly last: number;
  /** The events before it that no host gives. */
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
   * Reads a part of a history to its end. An event that does not open counts as missing: the key that it was sealed
   * with may be missing.
   * @param log with the events before
   * @param declared events that are holes whether a host gives them or not
   * @throws RestoreError when the revisions of streams do not fit what is missing; NotAnEvent
   */
  static async of(
    { origin, list, after, to, sources, fetcher, envelopes }: Part,
    log: EventLog,
    declared: ReadonlySet<number>,
  ): Promise<HolePlan> {
    const reader = envelopes.copy();
    const places = new HolePlaces();
    let [last, lost]: [number, number[]] = [after, []];
    const missing: number[] = [];
    for await (const page of fetcher.readPast(list, { after, to }, sources, declared)) {
      for (const event of page) {
        const opened = event.sealed === null ? undefined : openedBy(reader, event);
        if (opened === undefined) lost.push(event.sequence);
        if (opened === undefined || missing.length + lost.length > MAX_HOLES) continue;
        missing.push(...lost);
        [last, lost] = [event.sequence, []];
        const { stream } = opened;
        if (!places.has(stream)) places.begin(stream, await lastRevision(log, stream));
        places.note(event.sequence, opened);
      }
      if (missing.length + lost.length > MAX_HOLES) break;
    }
    const found = places.of(missing);
    if (found === undefined)
      throw new RestoreError(
        `Of the events ${after + 1} to ${last} of '${origin}', ${missing.length} cannot be obtained, and streams lack other events than these: no log can hold the rest.`,
      );
    const spare = `${replicationStream(origin)}/holes`;
    let revision = await lastRevision(log, spare);
    const placed = missing.map((sequence): [number, StreamPlace] => {
      const place = found.get(sequence) ?? { stream: spare, revision: (revision += 1n) };
      return [sequence, place];
    });
    return new HolePlan(origin, last, new Map(placed));
  }

  /** The hole that stands in the log for a missing event; undefined for one that is not missing. */
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
 * The holes that a part of a history itself declares, by the policies that began lines where a loss was accepted. They
 * remain holes when a host that has such an event returns: what was done since was done without it.
 */
export async function declaredHoles(part: Part): Promise<ReadonlySet<number>> {
  const { origin, root, list, after, to, sources, fetcher, envelopes } = part;
  // A key may be one of the holes, and the log may have continued with another key of its epoch: any known key may fit.
  const keys: DataKey[] = [envelopes.key];
  const declared = new Set<number>();
  for (let sequence = after + 1; sequence <= to; sequence += 1) {
    const { etype } = list.at(sequence);
    if (etype !== ETYPES.ReplicationPolicySet && etype !== ETYPES.KeyRotated) continue;
    const event = await eventAt(sequence);
    if (event === undefined) continue;
    for (const key of [...keys].reverse()) {
      const opened = openedBy(new EnvelopeReader(root, origin, key), event);
      if (opened === undefined) continue;
      for (const hole of holesBy(opened, origin)) declared.add(hole);
      const rotated = keyIn(opened, root, origin);
      if (rotated !== undefined) keys.push(rotated);
      break;
    }
  }
  return declared;

  async function eventAt(sequence: number): Promise<FetchedEvent | undefined> {
    for await (const [event] of fetcher.readPast(list, { after: sequence - 1, to: sequence }, sources, declared))
      return event?.sealed === null ? undefined : event;
    return undefined;
  }
}

/** The key that a KeyRotated holds, if it is wrapped with this root key. */
function keyIn({ type, data }: OpenedEvent, root: RootKey, origin: string): DataKey | undefined {
  if (type !== 'KeyRotated' || !isKeyRotated(data)) return undefined;
  const { wrappedKey, keyEpoch, keyId } = data;
  return root.unwrap(wrappedKey, { origin, keyEpoch, keyId });
}

/**
 * The holes that an event of a log declares: a policy that begins a line, or the acknowledgement that announces one.
 */
export function holesBy({ type, data }: Pick<OpenedEvent, 'type' | 'data'>, origin: string): readonly number[] {
  if (type !== 'ReplicationPolicySet' && type !== 'ReplicasAcknowledged') return [];
  if (data['origin'] !== origin || !isReplicationFact({ type, data })) return [];
  return (data['holes'] as readonly number[] | undefined) ?? [];
}

function openedBy(reader: EnvelopeReader, event: FetchedEvent): OpenedEvent | undefined {
  try {
    return reader.open(event);
  } catch (error) {
    if (error instanceof NotSealedHere) return undefined;
    throw error;
  }
}
