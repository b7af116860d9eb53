import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../src/domain/event.js';
import type { Json } from '../../../src/domain/json.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { missions } from '../../../src/projections/missions.js';
import { metadata } from '../../domain/support.js';
import { history } from '../../projections/histories.js';
import { newLog, Running } from './support.js';

/** Every event of several random histories, with distinct ids for each history. */
function events(): RecordedEvent[] {
  const own = (n: number, name: string, value: Json) =>
    name.endsWith('Id') && typeof value === 'string' ? `${value}-${n}` : value;
  return fc.sample(history, { numRuns: 12, seed: 7 }).flatMap((past, n) =>
    past.events.map((event) => ({
      ...event,
      id: randomUUID(),
      stream: `${event.stream}-${n}`,
      data: Object.fromEntries(Object.entries(event.data).map(([name, value]) => [name, own(n, name, value)])),
    })),
  );
}

async function appendAll(log: EventLog, events: readonly RecordedEvent[]): Promise<void> {
  await Promise.all(
    events.map(({ id, stream, type, data, metadata }) => log.append(stream, [{ id, type, data, metadata }], 'any')),
  );
}

async function follow(log: EventLog): Promise<Running> {
  const running = await Running.begin(missions, log);
  await running.caughtUp();
  return running;
}

describe('the digest of missions, tasks and jobs', () => {
  it('is the same after missions.db was deleted and the log replayed', async () => {
    const log = await newLog();
    await appendAll(log, events());
    const running = await follow(log);
    const before = await running.projector.digest();
    await running.stop();
    await rm(running.path);
    await running.start(missions);
    await running.caughtUp();
    expect(await running.projector.digest()).toEqual(before);
    expect(before.position).toBeGreaterThan(100n);
  });

  it('is the same after a rebuild', async () => {
    const log = await newLog();
    await appendAll(log, events());
    const running = await follow(log);
    const before = await running.projector.digest();
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect(await running.projector.digest()).toEqual(before);
  });

  it('is the same in another log that has the same events at other positions', async () => {
    const recorded = events();
    const log = await newLog();
    await appendAll(log, recorded);
    const copy = await newLog();
    await copy.append(
      'wallet-a',
      [{ id: randomUUID(), type: 'HostStateChanged', data: {}, metadata: metadata(0) }],
      'any',
    );
    await appendAll(copy, recorded);
    const [one, other] = [await follow(log), await follow(copy)];
    const [left, right] = [await one.projector.digest(), await other.projector.digest()];
    expect(copy.logId).not.toBe(log.logId);
    expect(right.position).toBe(left.position + 1n);
    expect(right.digest).toBe(left.digest);
  });

  it('differs as soon as the events do', async () => {
    const recorded = events();
    const log = await newLog();
    await appendAll(log, recorded);
    const shorter = await newLog();
    await appendAll(shorter, recorded.slice(0, -1));
    const [one, other] = [await follow(log), await follow(shorter)];
    expect((await other.projector.digest()).digest).not.toBe((await one.projector.digest()).digest);
  });
});
