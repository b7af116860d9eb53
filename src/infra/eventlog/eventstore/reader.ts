import {
  BACKWARDS,
  END,
  FORWARDS,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  type AllStreamRecordedEvent,
  type AllStreamResolvedEvent,
  type Direction,
  type EventStoreDBClient,
  type ReadPosition,
  type ReadRevision,
  type ResolvedEvent,
} from '@eventstore/db-client';
import type { ReadStreamOptions } from '../eventlog.js';
import { LogError } from '../errors.js';
import { toLogError } from './failures.js';
import { ANSWER_MS, type Link } from './link.js';
import { pulled } from './pulled.js';
import type { AnyRecord, Records } from './records.js';

/** Records read to find the last one of ours: few at first, for it is mostly there. */
const FIRST_PAGE = 16;
const PAGE = 1_000;

/** Reads from the server: on from where it was when a connection is torn. */
export class Reader {
  readonly #link: Link;
  readonly #records: Records;
  /** Between these positions there is nothing of ours. */
  #empty = { from: 0n, to: 0n };
  #reading: Promise<bigint> | undefined;
  #next: Promise<bigint> | undefined;

  constructor(link: Link, records: Records) {
    this.#link = link;
    this.#records = records;
  }

  /** The records of a stream, in the server's words; none when it is not there, or no more. @throws LogError */
  async *stream(name: string, options: ReadStreamOptions = {}): AsyncIterable<AnyRecord> {
    const isForward = options.direction !== 'backward';
    let from: ReadRevision = options.from ?? (isForward ? START : END);
    let left = options.limit ?? Number.MAX_SAFE_INTEGER;
    for (let failures = 0; left > 0;) {
      const { client } = this.#link;
      try {
        for await (const record of this.#once(client, name, from, isForward, left)) {
          failures = 0;
          left -= 1;
          from = record.revision + (isForward ? 1n : -1n);
          yield record;
        }
        this.#link.succeeded();
        return;
      } catch (error) {
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError) return;
        if (this.#link.closing.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
        this.#link.failed(client, error);
        if (this.#link.isLost) throw toLogError(error, this.#link.address.shown);
        await this.#link.rest(failures);
        failures += 1;
        if (from === -1n) return;
      }
    }
  }

  /**
   * The position of the last record that is ours, as of now; 0 when there is none. What the server writes for itself
   * comes after it, so it is looked for backwards, as far as it was not looked for before.
   */
  head(): Promise<bigint> {
    if (this.#reading === undefined) {
      const reading = this.#link
        .call((client) => this.#findHead(client))
        .finally(() => {
          this.#reading = undefined;
        });
      this.#reading = reading;
      return reading;
    }
    // Those who ask while it is read might miss what was recorded meanwhile: they share the next reading.
    this.#next ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.head();
      });
    return this.#next;
  }

  /**
   * The position of the last record at or before a place where none may be; 0 when there is none. It is looked for from
   * the end of the log that is nearer.
   * @param head a position there is, after it
   */
  recordBefore(place: bigint, head: bigint): Promise<bigint> {
    const isNearStart = place < head / 2n;
    return this.#link.call(async (client) => {
      let fromPosition: ReadPosition = isNearStart ? START : END;
      let before = 0n;
      for (;;) {
        const page = await this.#page(client, isNearStart ? FORWARDS : BACKWARDS, fromPosition, PAGE);
        for (const { position } of page) {
          if (isNearStart && position.commit > place) return before;
          if (!isNearStart && position.commit <= place) return position.commit;
          before = position.commit;
        }
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) return isNearStart ? before : 0n;
        fromPosition = last.position;
      }
    });
  }

  async *#once(
    client: EventStoreDBClient,
    name: string,
    from: ReadRevision,
    isForward: boolean,
    maxCount: number,
  ): AsyncIterable<AnyRecord> {
    const direction = isForward ? FORWARDS : BACKWARDS;
    const read = client.readStream(name, { fromRevision: from, direction, maxCount, requiresLeader: true });
    const items = pulled<ResolvedEvent>(read, {
      signal: this.#link.closing,
      answerMs: ANSWER_MS,
      isPatient: () => false,
      cancel: () => read.cancel(),
    });
    for await (const some of items) for (const { event } of some) if (event !== undefined) yield event;
    if (this.#link.closing.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
  }

  async #findHead(client: EventStoreDBClient): Promise<bigint> {
    const { from: known, to: looked } = this.#empty;
    let end: bigint | undefined;
    let fromPosition: ReadPosition = END;
    for (let size = FIRST_PAGE; ; size = PAGE) {
      const page = await this.#page(client, BACKWARDS, fromPosition, size);
      for (const record of page) {
        const position = record.position.commit;
        end ??= position;
        const isOurs = this.#records.isOurs(record);
        // A server that was put back to an earlier state ends before where it was looked at.
        if (!isOurs && (position > looked || end < looked)) continue;
        const head = isOurs ? position : known;
        this.#empty = { from: head, to: end };
        return head;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < size) {
        this.#empty = { from: 0n, to: end ?? 0n };
        return 0n;
      }
      fromPosition = last.position;
    }
  }

  async #page(client: EventStoreDBClient, direction: Direction, fromPosition: ReadPosition, maxCount: number) {
    const read = client.readAll({ direction, fromPosition, maxCount, requiresLeader: true });
    const items = pulled<AllStreamResolvedEvent>(read, {
      signal: this.#link.closing,
      answerMs: ANSWER_MS,
      isPatient: () => false,
      cancel: () => read.cancel(),
    });
    const page: AllStreamRecordedEvent[] = [];
    for await (const some of items) for (const { event } of some) if (event !== undefined) page.push(event);
    return page;
  }
}
