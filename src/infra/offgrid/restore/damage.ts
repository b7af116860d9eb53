import { isReplicated, type RecordedEvent } from '../../../domain/event.js';
import type { JsonObject } from '../../../domain/json.js';
import { decode, EMPTIED, isIntact, type EventRow } from '../../eventlog/embedded/event-row.js';
import type { Connection } from '../../sqlite/connection.js';
import { readableRows, type DamagedTable } from './damaged-tables.js';
import { RepairError } from './errors.js';

/** Positions read at a time. */
const PAGE = 128;
/** The most damaged events that are mended one by one. */
const MAX_DAMAGED = 10_000;

/** What is left of a damaged row: any of it may be wrong, and of another type than it should be. */
export type Remains = Readonly<Record<Exclude<keyof EventRow, 'data' | 'metadata'>, unknown>>;

/** Consecutive positions whose events are damaged or missing. */
export interface Gap {
  readonly kind: 'gap';
  readonly from: number;
  readonly to: number;
  /** By position, where a row exists. */
  readonly remains: ReadonlyMap<number, Remains>;
  /** How many intact replicated events precede it. */
  readonly before: number;
  /** The next intact replicated event. */
  readonly next: RecordedEvent | undefined;
}

/** An intact KeyRotated, and how many intact replicated events precede it. */
export interface Rotation {
  readonly kind: 'rotation';
  readonly data: JsonObject;
  readonly before: number;
}

/**
 * Reads every row up to a position. Returns the gaps, and the keys between them, in order.
 * @throws RepairError when too many events are damaged
 */
export async function findDamage(
  connection: Connection,
  tables: readonly DamagedTable[],
  end: number,
  onProgress: (position: number) => void,
): Promise<readonly (Gap | Rotation)[]> {
  const found: (Gap | Rotation)[] = [];
  let gap: { from: number; to: number; remains: Map<number, Remains> } | undefined;
  let untold: number[] = [];
  let before = 0;
  let damaged = 0;
  const spoil = (position: number, row: EventRow | undefined) => {
    damaged += 1;
    if (damaged > MAX_DAMAGED)
      throw new RepairError(
        `More than ${MAX_DAMAGED} events are damaged. Run \`sheratan restore\` into an empty folder: it reads everything again from the hosts.`,
      );
    gap ??= { from: position, to: position, remains: new Map() };
    gap.to = position;
    if (row !== undefined) gap.remains.set(position, remainsOf(row));
  };
  const endGap = () => {
    if (gap === undefined) return;
    untold.push(found.length);
    found.push({ kind: 'gap', ...gap, before, next: undefined });
    gap = undefined;
  };
  for (let after = 0; after < end; after += PAGE) {
    const upTo = Math.min(after + PAGE, end);
    const rows = new Map<number, EventRow>();
    for (const table of tables)
      for (const row of await readableRows(connection, table, after, upTo)) rows.set(row.position, row);
    for (let position = after + 1; position <= upTo; position += 1) {
      const row = rows.get(position);
      if (row === undefined || !isWhole(row)) {
        spoil(position, row);
        continue;
      }
      endGap();
      if (!isReplicated(row)) continue;
      for (const at of untold) found[at] = { ...(found[at] as Gap), next: decode(row) };
      untold = [];
      if (row.type === 'KeyRotated') found.push({ kind: 'rotation', data: decode(row).data, before });
      before += 1;
    }
    onProgress(upTo);
  }
  endGap();
  return found;
}

/** Whether a row is as it was written: an event, or what an earlier repair left of one. */
function isWhole(row: EventRow): boolean {
  if (row.etype !== 0 || row.type !== EMPTIED) return isIntact(row);
  return row.data === '' && row.metadata === '' && typeof row.stream === 'string' && Number.isSafeInteger(row.revision);
}

function remainsOf({ data: _, metadata: __, ...remains }: EventRow): Remains {
  return remains;
}
