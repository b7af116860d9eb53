import type { RecordedEvent } from '../../src/domain/event.js';
import type { CountedHead, HostState, Policy } from '../../src/domain/replication.js';
import type { ReplicationState } from '../../src/infra/offgrid/replication/replication-state.js';
import { outbox } from '../../src/projections/outbox.js';
import {
  PROGRESS,
  type EntryRow,
  type HostRow,
  type KeyRow,
  type PolicyRow,
  type ProgressRow,
} from '../../src/projections/outbox-tables.js';
import type { AnyRow, Rows, Tables } from '../../src/projections/projection.js';

/** The outbox in memory, folded as its projection folds it. */
export class MemoryOutbox {
  readonly #tables = new Map<string, Map<string, AnyRow>>(
    Object.keys(outbox.tables).map((name) => [name, new Map<string, AnyRow>()]),
  );
  /** The state that was read last, until something is folded. */
  #state: ReplicationState | undefined;

  fold(event: RecordedEvent): void {
    const handler = outbox.handlers[event.type];
    if (handler === undefined) return;
    this.#state = undefined;
    const touched = new Set(handler.touches(event).map(([table, key]) => `${table}/${key}`));
    const rows = {
      get: (table: string, key: string) => {
        if (!touched.has(`${table}/${key}`)) throw new Error(`${event.type} reads ${table}/${key} unannounced`);
        return this.#tables.get(table)?.get(key);
      },
      put: (table: string, row: AnyRow) => {
        this.#tables.get(table)?.set(String(row[outbox.tables[table]!.key]), row);
      },
    };
    handler.fold(rows as unknown as Rows<Tables>, event);
  }

  /** The replicated events after a number, at most `limit`. */
  entries(after: number, limit: number): readonly EntryRow[] {
    const entries = this.#tables.get('entries');
    const found: AnyRow[] = [];
    for (let id = after + 1; id <= after + limit; id += 1) {
      const entry = entries?.get(String(id));
      if (entry === undefined) break;
      found.push(entry);
    }
    return found as unknown as EntryRow[];
  }

  /** What a replicator reads of the outbox; the product reads the same rows from a file. */
  state(): ReplicationState {
    this.#state ??= this.#read();
    return this.#state;
  }

  #read(): ReplicationState {
    const progress = this.#tables.get('progress')?.get(PROGRESS) as unknown as ProgressRow | undefined;
    const { line = 1, next_line: nextLine = 0, elected_epoch: electedEpoch = 0, base = 0 } = progress ?? {};
    const policies = this.#rowsOf<PolicyRow>('policies');
    return {
      origin: progress?.origin ?? undefined,
      head: progress?.head ?? 0,
      quorum: progress?.quorum ?? 0,
      policies: policies
        .filter(({ version }) => version >= (progress?.policy ?? 0))
        .sort((a, b) => a.version - b.version)
        .map(({ version, required, hosts, sequence }) => ({
          policy: { version, required, hosts: parsed(hosts) as Policy['hosts'] },
          sequence,
        })),
      hosts: new Map(
        this.#rowsOf<HostRow>('hosts').map(({ host, state, why, sequence, head }) => [
          host,
          {
            ...{ host, why, sequence, state: state as HostState },
            head: head === null ? null : (parsed(head) as CountedHead),
          },
        ]),
      ),
      line,
      nextLine: nextLine > line ? nextLine : undefined,
      begun: progress?.begun ?? 0,
      quorumEpoch: progress?.quorum_epoch ?? 0,
      elected: electedEpoch === 0 ? undefined : { epoch: electedEpoch, base },
      isRestored: progress?.restored === 1,
      dishonestWeight: progress?.dishonest_weight ?? 0,
      holes: new Set(JSON.parse(progress?.holes ?? '[]') as number[]),
      keys: this.#rowsOf<KeyRow>('keys')
        .sort((a, b) => a.sequence - b.sequence)
        .map((row) => ({
          keyEpoch: row.key_epoch,
          sequence: row.sequence,
          keyId: row.key_id,
          rootKeyId: row.root_key_id,
          wrappedKey: row.wrapped_key,
        })),
    };
  }

  #rowsOf<R>(table: string): R[] {
    return [...(this.#tables.get(table)?.values() ?? [])] as unknown as R[];
  }
}

const known = new Map<string, unknown>();

/** Every core parses the same text many times. */
function parsed(text: string): unknown {
  const value: unknown = known.get(text) ?? JSON.parse(text);
  if (known.size > 500) known.clear();
  known.set(text, value);
  return value;
}
