import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { EventMetadata, RecordedEvent } from '../../src/domain/event.js';
import type { LogErrorCode } from '../../src/infra/eventlog/errors.js';
import type { EventBatch, EventLog, NewEvent, SubscribeOptions } from '../../src/infra/eventlog/eventlog.js';

/** A stream that no other test writes to. */
export function newStream(category = 'mission'): string {
  return `${category}-${randomUUID()}`;
}

export function newMetadata(): EventMetadata {
  const id = randomUUID();
  return { at: '2026-02-03T04:05:06.789Z', actor: 'tester', correlationId: id, causationId: id, schemaVersion: 1 };
}

/** An event with an id of its own. */
export function newEvent(given: Partial<NewEvent> = {}): NewEvent {
  return { id: randomUUID(), type: 'MissionUpdated', data: { title: 'A title' }, metadata: newMetadata(), ...given };
}

export function newEvents(count: number, given: Partial<NewEvent> = {}): NewEvent[] {
  return Array.from({ length: count }, () => newEvent(given));
}

export function idsOf(events: readonly { readonly id: string }[]): string[] {
  return events.map(({ id }) => id);
}

/** 0, 1, 2 … `count` − 1, as revisions are. */
export function revisionsTo(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => BigInt(i));
}

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

/** States that a promise is rejected with a LogError of this code. */
export async function expectLogError(promise: Promise<unknown>, code: LogErrorCode): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'LogError', code });
}

/** The deliveries of a subscription so far. */
interface Followed {
  readonly events: readonly RecordedEvent[];
  readonly batches: readonly EventBatch[];
  readonly through: bigint;
  readonly live: boolean;
}

/**
 * Subscribes until `enough` returns true, then ends the subscription by its signal. Checks every batch: events are in
 * order, after those delivered before, and not beyond `through`; `through` never goes back.
 * @param pause awaited after each batch, to simulate a slow reader
 */
export async function follow(
  log: EventLog,
  options: Omit<SubscribeOptions, 'signal'>,
  enough: (followed: Followed) => boolean,
  pause: (batch: EventBatch) => Promise<unknown> = () => Promise.resolve(),
): Promise<Followed> {
  const controller = new AbortController();
  const events: RecordedEvent[] = [];
  const batches: EventBatch[] = [];
  let followed: Followed = { events, batches, through: options.after, live: false };
  for await (const batch of log.subscribe({ ...options, signal: controller.signal })) {
    let last = followed.through;
    expect(batch.through).toBeGreaterThanOrEqual(last);
    for (const { position } of batch.events) {
      expect(position).toBeGreaterThan(last);
      last = position;
    }
    expect(batch.through).toBeGreaterThanOrEqual(last);
    events.push(...batch.events);
    batches.push(batch);
    followed = { events, batches, through: batch.through, live: batch.live };
    await pause(batch);
    if (enough(followed)) controller.abort();
  }
  return followed;
}
