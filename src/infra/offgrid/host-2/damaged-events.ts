import { equalBytes } from '../../crypto/bytes.js';
import type { Connection, Param } from '../../sqlite/connection.js';
import type { EventContents, EventRow } from './event-contents.js';
import type { HostFile } from './host-file.js';
import type { MendedEvent } from './replica-store.js';
import { COLUMNS, EVENT_BYTES } from './story-rows.js';

/** The tables with events of stories. */
const TABLES = ['events', 'head_tails'] as const;
type Table = (typeof TABLES)[number];

/** Sequences of the head's damaged events after one. */
const DAMAGED = `
  SELECT e.sequence FROM events AS e JOIN origins AS o ON o.id = e.origin
  WHERE e.origin = ?1 AND e.damaged = 1 AND e.sequence > ?2 AND e.sequence <= CASE
    WHEN o.staged_sequence > o.common THEN min(o.common, o.head_sequence) ELSE o.head_sequence END
  UNION ALL
  SELECT sequence FROM head_tails WHERE origin = ?1 AND damaged = 1 AND sequence > ?2`;

/** What a look at some stored events has shown. */
export interface Scrubbed {
  /** The last sequence that was looked at; undefined when there are no more. */
  readonly last: number | undefined;
  readonly bytes: number;
  /** Events that were not known to be damaged. */
  readonly found: number;
}

/** What is known of damage to the events of a host, how it is found, and how it is mended. Origins are the ids of rows. */
export class DamagedEvents {
  readonly #file: HostFile;
  readonly #contents: EventContents;

  constructor(file: HostFile, contents: EventContents) {
    this.#file = file;
    this.#contents = contents;
  }

  async list(origin: number, after: number, limit: number): Promise<readonly number[]> {
    const sql = `${DAMAGED} ORDER BY sequence LIMIT ?3`;
    const rows = await this.#all<{ sequence: number }>(sql, [origin, after, limit]);
    return rows.map(({ sequence }) => sequence);
  }

  async count(origin: number): Promise<number> {
    const [row] = await this.#all<{ damaged: number }>(`SELECT count(*) AS damaged FROM (${DAMAGED})`, [origin, 0]);
    return row?.damaged ?? 0;
  }

  /** Marks events as damaged, unless they were replaced meanwhile. */
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

  /** Puts events back that have the leaf that is kept. Resolves with the sequences that are whole now. @throws RefusalError FULL */
  async mend(origin: number, events: readonly MendedEvent[]): Promise<readonly number[]> {
    return this.#put(origin, events, TABLES, ({ leaf }, row) => equalBytes(leaf, row.leaf));
  }

  /** Puts events of the head back whatever leaf is kept. @throws RefusalError FULL */
  async mendLeaves(origin: number, events: readonly MendedEvent[]): Promise<readonly number[]> {
    const [row] = await this.#all<{ after: number }>(
      `SELECT CASE WHEN staged_sequence > common THEN common ELSE head_sequence END AS after FROM origins WHERE id = ?`,
      [origin],
    );
    const after = row?.after ?? 0;
    const [shared, tail] = [
      events.filter(({ sequence }) => sequence <= after),
      events.filter(({ sequence }) => sequence > after),
    ];
    return [
      ...(await this.#put(origin, shared, ['events'], () => true)),
      ...(await this.#put(origin, tail, ['head_tails'], () => true)),
    ];
  }

  /** Looks at stored events after a sequence, at most so many of each table, and marks those that are damaged. */
  async scrub(origin: number, after: number, limit: number): Promise<Scrubbed> {
    const sql = `
      SELECT * FROM (SELECT ${COLUMNS} FROM events WHERE origin = ?1 AND sequence > ?2
        UNION ALL SELECT ${COLUMNS} FROM head_tails WHERE origin = ?1 AND sequence > ?2)
      ORDER BY sequence LIMIT ?3`;
    const page = await this.#all<EventRow>(sql, [origin, after, limit]);
    // Of a sequence that is in both tables, both rows are in one page.
    const cut = page.length === limit ? page.at(-1)?.sequence : undefined;
    const rows = cut === undefined ? page : page.filter(({ sequence }) => sequence < cut);
    const events = await Promise.all(rows.map((row) => this.#contents.read(row)));
    const found = rows.filter(({ damaged }, i) => damaged === 0 && events[i]?.sealed === null);
    await this.mark(origin, found);
    return {
      last: cut === undefined ? undefined : cut - 1,
      bytes: rows.reduce((sum, { bytes }) => sum + bytes + EVENT_BYTES, 0),
      found: found.length,
    };
  }

  async #put(
    origin: number,
    events: readonly MendedEvent[],
    tables: readonly Table[],
    isTaken: (event: MendedEvent, row: EventRow) => boolean,
  ): Promise<readonly number[]> {
    const taken: { readonly event: MendedEvent; readonly table: Table; readonly row: EventRow }[] = [];
    for (const event of events)
      for (const table of tables) {
        const sql = `SELECT ${COLUMNS} FROM ${table} WHERE origin = ? AND sequence = ?`;
        const [row] = await this.#all<EventRow>(sql, [origin, event.sequence]);
        if (row !== undefined && isTaken(event, row)) taken.push({ event, table, row });
      }
    if (taken.length === 0) return [];
    await this.#contents.put(taken.map(({ event }) => event));
    await this.#file.write(async (connection) => {
      let added = 0;
      for (const { event, table, row } of taken) {
        await this.#replace(connection, table, origin, event);
        added += event.sealed.byteLength - row.bytes;
      }
      return added;
    });
    return [...new Set(taken.map(({ event }) => event.sequence))];
  }

  async #replace(connection: Connection, table: Table, origin: number, event: MendedEvent): Promise<void> {
    const { sequence, etype, ts, eid, leaf, sealed } = event;
    const content = this.#contents.isFile(event) ? null : sealed;
    await connection.run(
      `UPDATE ${table} SET etype = ?, ts = ?, eid = ?, leaf = ?, bytes = ?, sealed = ?, damaged = 0
       WHERE origin = ? AND sequence = ?`,
      [etype, ts, eid, leaf, sealed.byteLength, content, origin, sequence],
    );
  }

  #all<R>(sql: string, params: readonly Param[]): Promise<R[]> {
    return this.#file.read((reader) => reader.all<R>(sql, params));
  }
}
