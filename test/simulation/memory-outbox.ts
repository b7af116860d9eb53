import type { RecordedEvent } from '../../src/domain/event.js';
import type { HostState, Policy } from '../../src/domain/replication.js';
import type { Known } from '../../src/infra/offgrid/replicator/ports.js';
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

  fold(event: RecordedEvent): void {
    const handler = outbox.handlers[event.type];
    if (handler === undefined) return;
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

  get progress(): ProgressRow | undefined {
    return this.#tables.get('progress')?.get(PROGRESS) as unknown as ProgressRow | undefined;
  }

  get hosts(): readonly HostRow[] {
    return this.#rowsOf('hosts') as unknown as readonly HostRow[];
  }

  /** The travelling events after a number, at most so many. */
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

  policy(version: number | null): Policy | undefined {
    const row = this.#tables.get('policies')?.get(String(version)) as unknown as PolicyRow | undefined;
    return row && policyOf(row);
  }

  known(): Known {
    const { progress } = this;
    return {
      origin: progress?.origin ?? undefined,
      head: progress?.head ?? 0,
      quorum: progress?.quorum ?? 0,
      policies: (this.#rowsOf('policies') as unknown as readonly PolicyRow[])
        .filter(({ version }) => version >= (progress?.policy ?? 0))
        .map((row) => ({ policy: policyOf(row), sequence: row.sequence })),
      hosts: new Map(
        this.hosts.map(({ host, state, sequence }) => [host, { host, state: state as HostState, sequence }]),
      ),
      keys: (this.#rowsOf('keys') as unknown as readonly KeyRow[]).map((row) => ({
        keyEpoch: row.key_epoch,
        sequence: row.sequence,
        keyId: row.key_id,
        rootKeyId: row.root_key_id,
        wrappedKey: row.wrapped_key,
      })),
    };
  }

  /** All of it, for comparison. */
  rows(): unknown {
    return Object.fromEntries([...this.#tables].map(([name, rows]) => [name, [...rows]]));
  }

  #rowsOf(table: string): readonly AnyRow[] {
    return [...(this.#tables.get(table)?.values() ?? [])];
  }
}

function policyOf({ version, required, hosts }: PolicyRow): Policy {
  return { version, required, hosts: JSON.parse(hosts) as Policy['hosts'] };
}
