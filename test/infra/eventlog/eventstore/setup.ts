import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, vi } from 'vitest';
import type { RecordedEvent } from '../../../../src/domain/event.js';
import type { EventBatch, EventFilter, EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { matches } from '../../../../src/infra/eventlog/filter.js';
import { StoredRecord } from '../../../support/eventstore/record.js';
import type { StandIn, StandInOptions } from '../../../support/eventstore/stand-in.js';
import { collect, idsOf, newMetadata } from '../../../support/events.js';
import { startStandIn } from '../../../support/log-server.js';
import { quiet } from '../../../support/quiet.js';

/** The longest that a test waits for a condition, in milliseconds. */
const PATIENCE_MS = 30_000;

/** Runs a function when a test is over. Concurrent tests each have their own. */
type AfterTest = (cleanUp: () => Promise<void>) => void;

/** A server for one test. */
export async function startServer(options: StandInOptions = {}, after: AfterTest = onTestFinished): Promise<StandIn> {
  const server = await startStandIn(options);
  after(() => server.stop());
  return server;
}

/** A log for one test. */
export async function openLog(url: string, after: AfterTest = onTestFinished): Promise<EventStoreLog> {
  const log = await EventStoreLog.open(readAddress(url), quiet);
  after(() => log.close());
  return log;
}

/** A server with a log on it. */
export async function start(
  options: StandInOptions = {},
  after: AfterTest = onTestFinished,
): Promise<{ server: StandIn; log: EventStoreLog }> {
  const server = await startServer(options, after);
  return { server, log: await openLog(server.url, after) };
}

/** Writes events of the log directly to the server, to streams in turn, faster than by appends. */
export function seed(server: StandIn, count: number, streams: readonly string[]): void {
  const { correlationId: $correlationId, causationId: $causationId, ...others } = newMetadata();
  const metadata = Buffer.from(JSON.stringify({ ...others, $correlationId, $causationId }));
  const data = Buffer.from(JSON.stringify({ title: 'A title' }));
  server.store.seed(
    Array.from({ length: count }, (_, i) => ({
      stream: streams[i % streams.length] ?? '',
      id: randomUUID(),
      type: 'MissionUpdated',
      data,
      metadata,
    })),
  );
}

/** Writes records of another application. */
export function seedForeign(server: StandIn, count: number, stream = 'other-1'): void {
  server.store.seed(Array.from({ length: count }, () => ({ stream, id: randomUUID() })));
}

/** Counts a server's work from now on: reads, and the records that reads and subscriptions deliver. */
export function count(server: StandIn): { reads: number; records: number } {
  const counted = { reads: 0, records: 0 };
  const nextRead = server.faults.nextRead.bind(server.faults);
  server.faults.nextRead = () => {
    counted.reads += 1;
    return nextRead();
  };
  const { prototype } = StoredRecord;
  const property = Object.getOwnPropertyDescriptor(prototype, 'frame') ?? {};
  Object.defineProperty(prototype, 'frame', {
    ...property,
    get(this: StoredRecord) {
      counted.records += 1;
      return property.get?.call(this) as Buffer;
    },
  });
  onTestFinished(() => void Object.defineProperty(prototype, 'frame', property));
  return counted;
}

/** The positions of the log's events on the server: all, or those that match a filter. */
export function positionsIn(server: StandIn, filter?: EventFilter): bigint[] {
  const ours = server.store.events.filter(({ type }) => type === 'MissionUpdated');
  return ours.filter(({ stream, type }) => matches(filter, { stream, type } as RecordedEvent)).map((e) => e.position);
}

/**
 * Asserts that a reader that continues after any of these batches misses nothing: the events delivered up to a batch are
 * all those up to its `through`, once each.
 */
export function expectResumable(batches: readonly EventBatch[], positions: readonly bigint[], after = 0n): void {
  const delivered: bigint[] = [];
  const expected = positions.filter((position) => position > after);
  for (const { events, through } of batches) {
    delivered.push(...events.map(({ position }) => position));
    expect(delivered).toEqual(expected.slice(0, delivered.length));
    expect(expected[delivered.length] ?? through + 1n).toBeGreaterThan(through);
  }
}

/** A reader that follows a log in the background, until the log is closed. */
export class Follower {
  readonly batches: EventBatch[] = [];
  error: unknown;
  isOver = false;

  constructor(log: EventLog, options: { after?: bigint; filter?: EventFilter; batchSize?: number } = {}) {
    void this.#run(log, { after: 0n, ...options });
  }

  get events(): RecordedEvent[] {
    return this.batches.flatMap(({ events }) => events);
  }

  get ids(): string[] {
    return idsOf(this.events);
  }

  /** Waits until it has received this number of events, and is at the end of the log. */
  async has(count: number): Promise<this> {
    await this.until(`${count} events`, () => this.events.length >= count && this.batches.at(-1)?.live === true);
    return this;
  }

  async until(what: string, holds: () => boolean, timeout = PATIENCE_MS): Promise<void> {
    await vi.waitFor(
      () => {
        if (!holds()) throw new Error(`no ${what}: ${this.events.length} events came; error: ${String(this.error)}`);
      },
      { timeout, interval: 5 },
    );
  }

  async #run(log: EventLog, options: { after: bigint; filter?: EventFilter; batchSize?: number }): Promise<void> {
    const { signal } = new AbortController();
    try {
      for await (const batch of log.subscribe({ ...options, signal })) this.batches.push(batch);
    } catch (error) {
      this.error = error;
    }
    this.isOver = true;
  }
}

/** The ids of everything in a log. */
export async function idsIn(log: EventLog): Promise<string[]> {
  return idsOf(await collect(log.readAll()));
}

/** Collects unhandled errors from now on, which would end a process outside of a test. */
export function watchUncaught(): unknown[] {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
    process.on(event, note);
    onTestFinished(() => void process.off(event, note));
  }
  return uncaught;
}
