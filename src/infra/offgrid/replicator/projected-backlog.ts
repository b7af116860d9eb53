import { TRAVELLING_TYPES } from '../../../domain/event.js';
import type { HostState, Policy } from '../../../domain/replication.js';
import { PROGRESS, type HostRow, type KeyRow, type PolicyRow, type ProgressRow } from '../../../projections/outbox.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import type { Projector } from '../../projector/projector.js';
import type { Connection, Row } from '../../sqlite/connection.js';
import type { Backlog, Known, NumberedEvent } from './ports.js';

const NOTHING = { origin: null, head: 0, quorum: 0, policy: null };

/** The outbox projection, and the log behind it. */
export class ProjectedBacklog implements Backlog {
  readonly #outbox: Projector;
  readonly #log: EventLog;

  constructor(outbox: Projector, log: EventLog) {
    this.#outbox = outbox;
    this.#log = log;
  }

  known(): Promise<Known> {
    return this.#outbox.file.read((connection) => connection.transaction('BEGIN', () => knownIn(connection)));
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#outbox.committed(signal);
  }

  async events(after: number, limit: number): Promise<readonly NumberedEvent[]> {
    const [first] = await this.#outbox.file.read((connection) =>
      connection.all<{ position: string } & Row>(
        'SELECT CAST(position AS TEXT) AS position FROM entries WHERE id = ?',
        [after + 1],
      ),
    );
    if (first === undefined) return [];
    const events: NumberedEvent[] = [];
    const options = { after: BigInt(first.position) - 1n, filter: { types: TRAVELLING_TYPES }, limit };
    for await (const event of this.#log.readAll(options)) events.push({ sequence: after + events.length + 1, event });
    return events;
  }
}

async function knownIn(connection: Connection): Promise<Known> {
  const [progress = NOTHING] = await connection.all<ProgressRow & Row>('SELECT * FROM progress WHERE name = ?', [
    PROGRESS,
  ]);
  const policies = await connection.all<PolicyRow & Row>('SELECT * FROM policies WHERE version >= ? ORDER BY version', [
    progress.policy ?? 0,
  ]);
  const hosts = await connection.all<HostRow & Row>('SELECT host, state, sequence FROM hosts');
  const keys = await connection.all<KeyRow & Row>('SELECT * FROM keys ORDER BY sequence');
  return {
    origin: progress.origin ?? undefined,
    head: progress.head,
    quorum: progress.quorum,
    policies: policies.map(({ version, sequence, required, hosts: named }) => ({
      policy: { version, required, hosts: JSON.parse(named) as Policy['hosts'] },
      sequence,
    })),
    hosts: new Map(hosts.map(({ host, state, sequence }) => [host, { host, state: state as HostState, sequence }])),
    keys: keys.map(({ key_epoch, sequence, key_id, root_key_id, wrapped_key }) => ({
      keyEpoch: key_epoch,
      sequence,
      keyId: key_id,
      rootKeyId: root_key_id,
      wrappedKey: wrapped_key,
    })),
  };
}
