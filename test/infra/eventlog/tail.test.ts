import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReadTail, type Page, type SizedEvent, type Tail } from '../../../src/infra/eventlog/tail.js';
import { newEvent } from '../../support/events.js';

/** A log in memory: positions up to `head`, those in `stubs` without an event, `pageSize` of them read at a time. */
class Source {
  head = 0n;
  readonly stubs = new Set<bigint>();
  pageSize = 1_000;
  eventBytes = 100;
  reads = 0;
  failure: Error | undefined;
  /** Awaited before a read answers. */
  delay: () => Promise<unknown> = () => Promise.resolve();

  readonly read = async (after: bigint): Promise<Page> => {
    this.reads += 1;
    const { head } = this;
    const end = after + BigInt(this.pageSize);
    const through = end < head ? end : head;
    const events: SizedEvent[] = [];
    for (let position = after + 1n; position <= through; position += 1n) {
      if (!this.stubs.has(position)) events.push({ event: eventAt(position), bytes: this.eventBytes });
    }
    await this.delay();
    if (this.failure !== undefined) throw this.failure;
    return { events, through: through > after ? through : after, live: through >= head };
  };
}

function eventAt(position: bigint) {
  return { ...newEvent(), stream: 'mission-1', revision: position - 1n, position, etype: 11, recordedAt: '' };
}

function positionsAfter(tail: Tail, position: bigint, limit = 10_000): bigint[] {
  return tail.after(position, limit).map((event) => event.position);
}

function range(from: bigint, to: bigint): bigint[] {
  return Array.from({ length: Number(to - from) + 1 }, (_, i) => from + BigInt(i));
}

const never = new AbortController().signal;

describe('the tail', () => {
  it('covers the events since it started, and none before', async () => {
    const source = new Source();
    const tail = new ReadTail(5n, source.read);
    source.head = 9n;
    await tail.refresh();

    expect(tail.to).toBe(9n);
    expect(tail.covers(4n)).toBe(false);
    expect(tail.covers(5n)).toBe(true);
    expect(positionsAfter(tail, 5n)).toEqual([6n, 7n, 8n, 9n]);
    expect(positionsAfter(tail, 7n)).toEqual([8n, 9n]);
    expect(positionsAfter(tail, 5n, 2)).toEqual([6n, 7n]);
    expect(positionsAfter(tail, 20n)).toEqual([]);
  });

  it('reads to the end of the log, however small the pages', async () => {
    const source = new Source();
    source.pageSize = 3;
    source.head = 20n;
    const tail = new ReadTail(0n, source.read);
    await tail.refresh();
    expect(positionsAfter(tail, 0n)).toEqual(range(1n, 20n));
  });

  it('reaches the end of the log although there is no event at the end', async () => {
    const source = new Source();
    source.head = 4n;
    for (const stub of [2n, 4n]) source.stubs.add(stub);
    const tail = new ReadTail(0n, source.read);
    await tail.refresh();
    expect(tail.to).toBe(4n);
    expect(positionsAfter(tail, 0n)).toEqual([1n, 3n]);
  });

  it('keeps the newest 1,024 events', async () => {
    const source = new Source();
    source.head = 3_000n;
    const tail = new ReadTail(0n, source.read);
    await tail.refresh();
    expect(tail.covers(1_975n)).toBe(false);
    expect(tail.covers(1_976n)).toBe(true);
    expect(positionsAfter(tail, 1_976n)).toEqual(range(1_977n, 3_000n));
  });

  it('keeps the newest 8 MiB', async () => {
    const source = new Source();
    source.eventBytes = 1024 * 1024;
    source.head = 20n;
    const tail = new ReadTail(0n, source.read);
    await tail.refresh();
    expect(tail.covers(11n)).toBe(false);
    expect(positionsAfter(tail, 12n)).toEqual(range(13n, 20n));
  });

  it('reads once for many concurrent refreshes, and a second time for events that arrived meanwhile', async () => {
    const source = new Source();
    source.head = 5n;
    const tail = new ReadTail(0n, source.read);
    const asking = Array.from({ length: 20 }, () => tail.refresh());
    source.head = 8n;
    await Promise.all(asking);
    expect(source.reads).toBe(2);
    expect(tail.to).toBe(8n);
  });

  it('wakes only waiting readers when it has grown', async () => {
    const source = new Source();
    const tail = new ReadTail(0n, source.read);
    let woken = false;
    const waiting = tail.changed(0n, never).then(() => (woken = true));
    await tail.refresh();
    await turn();
    expect(woken).toBe(false);
    source.head = 1n;
    await tail.refresh();
    await waiting;
    await tail.changed(0n, never);
  });

  it('wakes waiting readers when a read fails, and reads again when refreshed', async () => {
    const source = new Source();
    source.head = 3n;
    source.failure = new Error('the disk');
    const tail = new ReadTail(0n, source.read);
    const waiting = tail.changed(0n, never);
    await tail.refresh();
    await waiting;
    expect(tail.to).toBe(0n);

    source.failure = undefined;
    await tail.refresh();
    expect(tail.to).toBe(3n);
  });

  it('wakes a waiting reader on its signal', async () => {
    const tail = new ReadTail(0n, new Source().read);
    const controller = new AbortController();
    const waiting = tail.changed(0n, controller.signal);
    controller.abort();
    await waiting;
    await tail.changed(0n, controller.signal);
  });

  it('drops its events when it is reset, even those being read', async () => {
    const source = new Source();
    source.head = 5n;
    const tail = new ReadTail(0n, source.read);
    await tail.refresh();
    source.head = 8n;
    let release = () => {};
    source.delay = () => new Promise<void>((resolve) => (release = resolve));
    const reading = tail.refresh();
    source.delay = () => Promise.resolve();
    source.stubs.add(6n);
    tail.reset(tail.to);
    release();
    await reading;

    expect(tail.covers(4n)).toBe(false);
    expect(positionsAfter(tail, 5n)).toEqual([7n, 8n]);
  });

  it('never gives a reader a gap or a repetition, in any sequence of events', async () => {
    const step = fc.oneof(
      fc.record({ does: fc.constant('append' as const), count: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ does: fc.constantFrom('refresh' as const, 'reset' as const, 'turn' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 500 }), async (steps, pageSize) => {
        const source = new Source();
        source.pageSize = pageSize;
        source.delay = () => turn();
        const tail = new ReadTail(0n, source.read);
        let seen = 0n;
        const look = () => {
          if (!tail.covers(seen)) seen = tail.to > seen ? tail.to : seen;
          for (const { position } of tail.after(seen, 10_000)) {
            expect(position).toBe(seen + 1n);
            seen = position;
          }
        };
        const refreshes: Promise<void>[] = [];
        for (const taken of steps) {
          if (taken.does === 'append') source.head += BigInt(taken.count);
          else if (taken.does === 'refresh') refreshes.push(tail.refresh());
          else if (taken.does === 'reset') tail.reset(source.head);
          else await turn();
          look();
        }
        await Promise.all(refreshes);
        await tail.refresh();
        look();
        expect(tail.to).toBe(source.head);
        expect(seen).toBe(source.head);
      }),
      { numRuns: 200 },
    );
  });
});
