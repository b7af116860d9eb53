import type { EntryRow, HostRow, OutboxTables, PolicyRow, ProgressRow } from '../../../projections/outbox-tables.js';
import type { RowOf, Stored } from '../../../projections/projection.js';

/** The tables of `outbox.db`, as queries read them. */
export interface OutboxDatabase {
  readonly entries: Stored<EntryRow>;
  readonly progress: ProgressRow;
  readonly quorums: RowOf<OutboxTables['quorums']>;
  readonly policies: PolicyRow;
  readonly hosts: HostRow;
}
