import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { JsonObject } from '../../../src/domain/json.js';
import { outbox } from '../../../src/projections/outbox.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { ProjectedBacklog } from '../../../src/infra/offgrid/replication/projected-backlog.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { Projector } from '../../../src/infra/projector/projector.js';
import { verify } from '../../../src/infra/projector/verify.js';
import { newMetadata } from '../../support/events.js';
import { quiet } from '../../support/quiet.js';
import { newFolder, newLog } from './support.js';

const WAIT_MS = 10_000;

function append(log: EventLog, type: string, stream: string, data: JsonObject) {
  return log.append(stream, [{ id: randomUUID(), type, data, metadata: newMetadata() }], 'any');
}

async function outboxOf(log: EventLog, path: string): Promise<Projector> {
  const projector = await Projector.open(path, outbox, log, quiet);
  onTestFinished(() => projector.stop());
  await projector.start();
  return projector;
}

const mission = (id: string) =>
  ['MissionCreated', `mission-${id}`, { missionId: id, title: id, description: '', metadata: {}, tags: [] }] as const;

/** A log with a policy in it that has no hosts at all, where the outbox halts. */
async function haltedOutbox() {
  const log = await newLog();
  await append(log, ...mission('a'));
  await append(log, 'ReplicationPolicySet', 'replication-o', { origin: 'o', version: 1, required: 1 });
  await append(log, ...mission('b'));
  const path = join(await newFolder(), 'outbox.db');
  const projector = await outboxOf(log, path);
  await expect.poll(async () => (await projector.status()).state).toBe('HALTED');
  return { log, path, projector };
}

it('an event that is skipped keeps its sequence, when shipped and when verified', async () => {
  const { log, path, projector } = await haltedOutbox();
  expect((await projector.status()).error).toMatchObject({ code: 'FOLD_FAILED', type: 'ReplicationPolicySet' });
  expect(await projector.resume(true)).toBeUndefined();
  expect(await projector.reaches(await log.head(), WAIT_MS)).toBe(true);
  const events = await new ProjectedBacklog(projector, log).events(0, 10);
  expect(events.map(({ sequence, event }) => [sequence, event.type])).toEqual([
    [1, 'MissionCreated'],
    [2, 'ReplicationPolicySet'],
    [3, 'MissionCreated'],
  ]);
  const verified = await verify(path, outbox, log, await newFolder());
  expect([verified.skipped, verified.difference]).toEqual([1, undefined]);
});

it.each([
  ['ReplicationPolicySet', { origin: 'o', version: 'x', required: 1, hosts: [] }],
  ['ReplicationPolicySet', { origin: 'o', version: 1.5, required: 1, hosts: [] }],
  ['ReplicationPolicySet', { origin: 'o', version: 1, required: 1, hosts: '' }],
  ['ReplicasAcknowledged', { origin: 'o', policyVersion: 1, hosts: [], quorumSequence: 0 }],
  ['HostStateChanged', { origin: 'o', host: 'h', state: 'ODD', sequence: 0, why: '' }],
])('an event of another shape halts the outbox, and can be skipped: %s %j', async (type, data) => {
  const log = await newLog();
  await append(log, ...mission('a'));
  const projector = await outboxOf(log, join(await newFolder(), 'outbox.db'));
  expect(await projector.reaches(1n, WAIT_MS)).toBe(true);
  await append(log, type, 'replication-o', data);
  await append(log, ...mission('b'));
  await expect.poll(async () => (await projector.status()).error?.code).toBe('FOLD_FAILED');
  await projector.resume(true);
  expect(await projector.reaches(3n, WAIT_MS)).toBe(true);
  const events = await new ProjectedBacklog(projector, log).events(0, 10);
  const numbers = type === 'ReplicasAcknowledged' ? [1, 2] : [1, 2, 3];
  expect(events.map(({ sequence }) => sequence)).toEqual(numbers);
});

it('an event of a newer build halts the outbox with NEWER_EVENT, in whichever category it is', async () => {
  for (const [type, stream, etype] of [
    ['Unheard', 'mission-a', 99],
    ['MissionUpdated', 'unheard-a', undefined],
  ] as const) {
    const log = await newLog();
    const event = { id: randomUUID(), type, data: {}, metadata: newMetadata(), ...(etype && { etype }) };
    await log.appendAll([{ stream, events: [event], expected: 'no-stream' }]);
    const projector = await outboxOf(log, join(await newFolder(), 'outbox.db'));
    await expect.poll(async () => (await projector.status()).error?.code).toBe('NEWER_EVENT');
    expect(await projector.resume(true)).toMatchObject({ refused: expect.stringContaining('cannot be skipped') });
  }
});

it('events that this build knows by name only are numbered', async () => {
  const log = await newLog();
  await append(log, 'JobLeaseExtended', 'job-a', {});
  await append(log, 'QueuePolicySet', 'queue-a', {});
  const projector = await outboxOf(log, join(await newFolder(), 'outbox.db'));
  expect(await projector.reaches(2n, WAIT_MS)).toBe(true);
  expect((await new ProjectedBacklog(projector, log).events(0, 10)).map(({ sequence }) => sequence)).toEqual([1, 2]);
});

it('an outbox whose sequences differ from the log ships nothing', async () => {
  const log = await newLog();
  for (const id of ['a', 'b', 'c']) await append(log, ...mission(id));
  const path = join(await newFolder(), 'outbox.db');
  const projector = await outboxOf(log, path);
  expect(await projector.reaches(3n, WAIT_MS)).toBe(true);
  const other = await Connection.open(path, 'write');
  await other.run('UPDATE entries SET position = 99 WHERE id = 2');
  await other.close();
  await expect(new ProjectedBacklog(projector, log).events(0, 10)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
});
