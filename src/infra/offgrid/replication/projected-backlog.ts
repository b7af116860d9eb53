import { isReplicated, type ReplicatedEvent } from '../../../domain/event.js';
import type { CountedHead, HostState, Policy } from '../../../domain/replication.js';
import { LogError } from '../../eventlog/errors.js';
import type { EventLog, ReadAllOptions } from '../../eventlog/eventlog.js';
import type { Projector } from '../../projector/projector.js';
import { entryPlaces, replicationRows, type ReplicationRows } from '../../readmodels/outbox/outbox-rows.js';
import type { HostRecord, Outbox, ReplicationState } from './replication-state.js';

/** How long to wait for the outbox, in milliseconds. */
const CATCH_UP_MS = 2_000;

const NOTHING = {
  ...{ origin: null, head: 0, quorum: 0, quorum_epoch: 0, policy: null, line: 1, next_line: 0, begun: 0 },
  ...{ elected_epoch: 0, base: 0, restored: 0, dishonest_weight: 0, holes: '[]' },
};

/** The outbox projection, and the log behind it. */
export class ProjectedBacklog implements Outbox {
  readonly #outbox: Projector;
  readonly #log: EventLog;

  constructor(outbox: Projector, log: EventLog) {
    this.#outbox = outbox;
    this.#log = log;
  }

  known(): Promise<ReplicationState> {
    return this.#outbox.file.read(replicationRows).then(stateOf);
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#outbox.committed(signal);
  }

  async catchUp(): Promise<boolean> {
    const { file, projection } = this.#outbox;
    // A file of another version has other tables until it is rebuilt.
    if ((await file.generation('live'))?.version !== projection.version) return false;
    return this.#outbox.reaches(await this.#log.head(), CATCH_UP_MS);
  }

  async events(after: number, limit: number): Promise<readonly ReplicatedEvent[]> {
    const entries = await this.#outbox.file.read((connection) => entryPlaces(connection, after, limit));
    const [first] = entries;
    if (first === undefined) return [];
    const events: ReplicatedEvent[] = [];
    let start: ReadAllOptions = { from: BigInt(first.position) };
    while (events.length < entries.length) {
      const limit = entries.length - events.length;
      let read = 0;
      for await (const event of this.#log.readAll({ ...start, limit })) {
        read += 1;
        start = { after: event.position };
        if (isReplicated(event)) events.push({ sequence: after + events.length + 1, event });
      }
      if (read === 0) break;
    }
    entries.forEach(({ id, position }, i) => assertPlaced(events[i], id, BigInt(position)));
    return events;
  }
}

/** An event that is sealed under another number than the outbox gives it could never be opened. @throws LogError */
function assertPlaced(found: ReplicatedEvent | undefined, id: number, position: bigint): void {
  if (found?.sequence === id && found.event.position === position) return;
  throw new LogError(
    'LOG_CORRUPT',
    `outbox.db has replicated event ${id} at position ${position}, but the log has another event there. Stop the core and delete outbox.db: it is rebuilt from the log.`,
  );
}

function stateOf({ progress: known, policies, hosts, keys }: ReplicationRows): ReplicationState {
  const progress = known ?? NOTHING;
  return {
    origin: progress.origin ?? undefined,
    head: progress.head,
    quorum: progress.quorum,
    policies: policies.map(({ version, sequence, required, hosts: named }) => ({
      policy: { version, required, hosts: JSON.parse(named) as Policy['hosts'] },
      sequence,
    })),
    hosts: new Map(hosts.map((row) => [row.host, hostOf(row)])),
    line: progress.line,
    nextLine: progress.next_line > progress.line ? progress.next_line : undefined,
    begun: progress.begun,
    quorumEpoch: progress.quorum_epoch,
    elected: progress.elected_epoch === 0 ? undefined : { epoch: progress.elected_epoch, base: progress.base },
    isRestored: progress.restored === 1,
    dishonestWeight: progress.dishonest_weight,
    holes: new Set(JSON.parse(progress.holes) as number[]),
    keys: keys.map(({ key_epoch, sequence, key_id, root_key_id, wrapped_key }) => ({
      keyEpoch: key_epoch,
      sequence,
      keyId: key_id,
      rootKeyId: root_key_id,
      wrappedKey: wrapped_key,
    })),
  };
}

function hostOf({ host, state, why, sequence, head }: ReplicationRows['hosts'][number]): HostRecord {
  const counted = head === null ? null : (JSON.parse(head) as CountedHead);
  return { host, state: state as HostState, why, sequence, head: counted };
}
