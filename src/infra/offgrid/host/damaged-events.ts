import { equalBytes } from '../../crypto/bytes.js';
import type { Connection, Param } from '../../sqlite/connection.js';
import type { EventContents, EventRow } from './event-contents.js';
import { COLUMNS } from './history-rows.js';
import type { HostFile } from './host-file.js';
import type { MendedEvent } from './replica-store.js';

/** The tables that hold the events of histories. */
const TABLES = ['events', 'head_tails'] as const;
type Table = (typeof TABLES)[number];
/** The maximum number of damaged events that `unleafed` examines. */
const MAX_UNLEAFED = 10_000;

/** The last of the head's events that is in `events`; later ones are in `head_tails`. */
const IN_EVENTS = `CASE WHEN o.staged_sequence > o.common THEN min(o.common, o.head_sequence) ELSE o.head_sequence END`;
/** The sequences of the head's damaged events after sequence ?2. */
const DAMAGED = `
  SELECT e.sequence FROM events AS e JOIN origins AS o ON o.id = e.origin
  WHERE e.origin = ?1 AND e.damaged = 1 AND e.sequence > ?2 AND e.sequence <= ${IN_EVENTS}
  UNION ALL
  SELECT sequence FROM head_tails WHERE origin = ?1 AND damaged = 1 AND sequence > ?2`;
/** An empty row in the place of a missing one. */
const MISSING = `
  INSERT OR IGNORE INTO %1 (${COLUMNS}) VALUES (?, ?, 0, 0, zeroblob(32), zeroblob(32), 0, x'', 1)`;

/** Records and mends the damaged events of a host. `origin` is the id of a row of `origins`. */
export class DamagedEvents {
  readonly #file: HostFile;
  readonly #contents: EventContents;

  constructor(file: HostFile, contents: EventContents) {
    this.#file = file;
    this.#contents = contents;
  }

  /** The sequences of the head's damaged events after `after`, ascending, at most `limit`. */
  async list(origin: number, after: number, limit: number): Promise<readonly number[]> {
    const sql = `${DAMAGED} ORDER BY sequence LIMIT ?3`;
    const rows = await this.#all<{ sequence: number }>(sql, [origin, after, limit]);
    return rows.map(({ sequence }) => sequence);
  }

  /** The number of the head's damaged events. */
  async count(origin: number): Promise<number> {
    const [row] = await this.#all<{ damaged: number }>(`SELECT count(*) AS damaged FROM (${DAMAGED})`, [origin, 0]);
    return row?.damaged ?? 0;
  }

  /** Marks the events of rows that were read as damaged, unless they have been replaced since. */
  async mark(origin: number, rows: readonly EventRow[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#file.write(async (connection) => {
      for (const { sequence, leaf } of rows)
        for (const table of TABLES)
          await connection.run(`UPDATE ${table} SET damaged = 1 WHERE origin = ? AND sequence = ? AND leaf = ?`, [
            origin,
            sequence,
            leaf,
          ]);
      return 0;
    });
  }

  /** Marks events of the head as damaged, including missing ones. */
  async markHead(origin: number, sequences: readonly number[]): Promise<void> {
    if (sequences.length === 0) return;
    await this.#file.write(async (connection) => {
      const lastInEvents = await inEventsOf(connection, origin);
      for (const sequence of sequences) {
        const table = tableOf(sequence, lastInEvents);
        await connection.run(MISSING.replace('%1', table), [origin, sequence]);
        await connection.run(`UPDATE ${table} SET damaged = 1 WHERE origin = ? AND sequence = ?`, [origin, sequence]);
      }
      return 0;
    });
  }

  /** Damaged events of the head whose content matches its address and size: only their leaf may be damaged. */
  async unleafed(origin: number): Promise<readonly MendedEvent[]> {
    const found: MendedEvent[] = [];
    const lastInEvents = await this.#file.read((reader) => inEventsOf(reader, origin));
    for (const sequence of await this.list(origin, 0, MAX_UNLEAFED)) {
      const table = tableOf(sequence, lastInEvents);
      const sql = `SELECT ${COLUMNS} FROM ${table} WHERE origin = ? AND sequence = ?`;
      const [row] = await this.#all<EventRow>(sql, [origin, sequence]);
      const event = row && (await this.#contents.readUnleafed(row));
      if (event !== undefined) found.push(event);
    }
    return found;
  }

  /** Restores events whose leaf is the stored one. @returns the sequences that are intact now @throws RefusalError FULL */
  async mend(origin: number, events: readonly MendedEvent[]): Promise<readonly number[]> {
    const taken: { readonly event: MendedEvent; readonly table: Table }[] = [];
    for (const event of events)
      for (const table of TABLES) {
        const sql = `SELECT leaf FROM ${table} WHERE origin = ? AND sequence = ?`;
        const [row] = await this.#all<{ leaf: Uint8Array }>(sql, [origin, event.sequence]);
        if (row !== undefined && equalBytes(row.leaf, event.leaf)) taken.push({ event, table });
      }
    if (taken.length === 0) return [];
    await this.#contents.put(taken.map(({ event }) => event));
    // The event replaces itself: its bytes were counted when it was first stored.
    await this.#file.write(async (connection) => {
      for (const { event, table } of taken) await this.#replace(connection, table, origin, event, 'same leaf');
      return 0;
    });
    return [...new Set(taken.map(({ event }) => event.sequence))];
  }

  /** Restores events of the head together with their leaves. @throws RefusalError FULL */
  async mendLeaves(origin: number, events: readonly MendedEvent[]): Promise<void> {
    await this.#contents.put(events);
    await this.#file.write(async (connection) => {
      const lastInEvents = await inEventsOf(connection, origin);
      for (const event of events) {
        const table = tableOf(event.sequence, lastInEvents);
        await connection.run(MISSING.replace('%1', table), [origin, event.sequence]);
        await this.#replace(connection, table, origin, event, 'any leaf');
      }
      return 0;
    });
  }

  async #replace(
    connection: Connection,
    table: Table,
    origin: number,
    event: MendedEvent,
    where: 'same leaf' | 'any leaf',
  ): Promise<void> {
    const { sequence, etype, ts, eid, leaf, sealed } = event;
    const content = this.#contents.isFile(event) ? null : sealed;
    const values = [etype, ts, eid, leaf, sealed.byteLength, content, origin, sequence];
    await connection.run(
      `UPDATE ${table} SET etype = ?, ts = ?, eid = ?, leaf = ?, bytes = ?, sealed = ?, damaged = 0
       WHERE origin = ? AND sequence = ? ${where === 'same leaf' ? 'AND leaf = ?' : ''}`,
      where === 'same leaf' ? [...values, leaf] : values,
    );
  }

  #all<R>(sql: string, params: readonly Param[]): Promise<R[]> {
    return this.#file.read((reader) => reader.all<R>(sql, params));
  }
}

async function inEventsOf(connection: Connection, origin: number): Promise<number> {
  const sql = `SELECT ${IN_EVENTS} AS last FROM origins AS o WHERE o.id = ?`;
  const [row] = await connection.all<{ last: number }>(sql, [origin]);
  return row?.last ?? 0;
}

function tableOf(sequence: number, lastInEvents: number): Table {
  return sequence <= lastInEvents ? 'events' : 'head_tails';
}
