import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../../src/domain/json.js';
import type { HostClient } from '../../../../src/infra/offgrid/protocol/host-client.js';
import { overBrokenLink } from '../../../support/offgrid/broken-link.js';
import { ORIGIN } from '../../../support/offgrid/by-hand.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';
import { readBackForTest, readWithLoss } from '../../../support/offgrid/reading-back.js';
import { ReplicatingCore, RestartableHost, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { replicatedEvents, threeHosts } from '../../../support/offgrid/three-hosts.js';

/** A host no longer has the content of some events. */
async function lose(host: RestartableHost, ...sequences: readonly number[]): Promise<void> {
  await host.stop();
  const sql = `UPDATE events SET sealed = x'00' WHERE sequence IN (${sequences.join(', ')}) RETURNING sequence`;
  expect((await inHostFile(host.folder, sql, 'write')).length).toBe(sequences.length);
  await host.restart();
}

/** Nothing is mended. */
const withoutMending = (client: HostClient) => overBrokenLink(client, (name) => name === 'mend');

type Replicated = {
  readonly stream: string;
  readonly revision: bigint;
  readonly type: string;
  readonly data: JsonObject;
};

/** Three hosts, and the numbers of two of the missions that they have: what else is recorded between them is a matter of time. */
async function hostsOfMissions() {
  const { all, ...others } = await threeHosts();
  const events = all as Replicated[];
  const missions = events.flatMap(({ type }, i) => (type === 'MissionCreated' ? [i + 1] : []));
  const [lost, other] = [missions[1]!, missions[3]!];
  return { ...others, lost, other, all: events, rest: events.toSpliced(lost - 1, 1) };
}

/** Three hosts, none of which has the content of a mission. */
async function threeWithoutOne() {
  const found = await hostsOfMissions();
  const { a, b, c, root, length, lost } = found;
  for (const host of [a, b, c]) await lose(host, lost);
  const hosts = [a, b, c];
  await expect(readBackForTest({ root, hosts })).rejects.toThrow(`event ${lost}`);
  const read = await readWithLoss({ root, hosts });
  expect([read.length, read.holes]).toEqual([length, [lost]]);
  const restored = (await replicatedEvents(read.log)) as Replicated[];
  await read.log.close();
  return { ...found, read, restored };
}

describe('an event that no host gives any more', () => {
  it('is a hole when a loss is accepted, and the rest is intact', async () => {
    const { rest, lost, restored } = await threeWithoutOne();
    expect(restored.filter(({ type }) => type !== 'HistoryHole')).toEqual(rest);
    const hole = restored[lost - 1];
    expect(hole).toMatchObject({ type: 'HistoryHole', data: { origin: ORIGIN, sequence: lost, etype: 10 } });
    // It was the last of its stream, so nothing shows which stream that was.
    expect(hole).toMatchObject({ stream: `replication-${ORIGIN}/holes`, revision: 0n });
  });

  it('does not keep the next line from being at quorum, at hosts that had the rest and at new ones, nor from being read', async () => {
    const { a, root, read, restored, lost } = await threeWithoutOne();
    const added = [await RestartableHost.start(), await RestartableHost.start()];
    const settings = { hosts: wanted(a, ...added), required: 3, folder: read.folder, root };
    const core = await ReplicatingCore.start(settings);
    await core.record(3);
    const length = await core.settles();
    expect((await core.known()).holes).toEqual(new Set([lost]));
    expect((await core.events('ReplicationPolicySet')).at(-1)).toMatchObject({ line: 2, holes: [lost] });
    for (const host of [a, ...added]) {
      const head = await host.head(root);
      expect([head.tree?.sequence, head.damaged]).toEqual([length, 1]);
    }
    const now = await replicatedEvents(core.log);
    expect(now.slice(0, restored.length)).toEqual(restored);
    await core.stop();

    const again = await readBackForTest({ root, hosts: added });
    expect([again.length, again.holes, again.best.line]).toEqual([length, [lost], 2]);
    expect(await replicatedEvents(again.log)).toEqual(now);
  });

  it('does not hide that a host lacks others', async () => {
    const { a, b, c, root, read, lost, other } = await threeWithoutOne();
    const core = await ReplicatingCore.start({ hosts: wanted(a, b, c), required: 3, folder: read.folder, root });
    await core.settles();
    await core.stop();
    // As many as before, but not the same.
    await b.stop();
    await inHostFile(b.folder, `UPDATE events SET sealed = x'00', damaged = 1 WHERE sequence = ${other}`, 'write');
    await inHostFile(b.folder, `UPDATE events SET damaged = 0 WHERE sequence = ${lost}`, 'write');
    await b.restart();
    const settings = { hosts: wanted(a, b, c), required: 3, folder: read.folder, root };
    const next = await ReplicatingCore.start({ ...settings, between: withoutMending });
    await next.record(2);
    await next.backlog.catchUp();
    const has = (host: RestartableHost) => async () => {
      const { hosts, head } = await next.known();
      return hosts.get(host.id)?.sequence === head;
    };
    for (const host of [a, c]) await expect.poll(has(host), WAIT).toBe(true);
    const { head, quorum } = await next.known();
    await expect.poll(async () => (await b.head(root)).tree?.sequence, WAIT).toBe(head);
    expect(await has(b)()).toBe(false);
    expect(quorum).toBeLessThan(head);
  });

  it('remains lost when a host that has it returns: what was done since was done without it', async () => {
    const { a, b, c, root, rest, length, lost } = await hostsOfMissions();
    await c.stop();
    for (const host of [a, b]) await lose(host, lost);
    const read = await readWithLoss({ root, hosts: [a, b] });
    await read.log.close();
    expect(read.holes).toEqual([lost]);
    await c.restart();
    const core = await ReplicatingCore.start({ hosts: wanted(a, b, c), required: 3, folder: read.folder, root });
    const longer = await core.settles();
    const now = (await replicatedEvents(core.log)) as Replicated[];
    await core.stop();
    expect(now.slice(0, length).filter(({ type }) => type !== 'HistoryHole')).toEqual(rest);
    for (const hosts of [
      [a, b, c],
      [c, b],
    ]) {
      const again = await readBackForTest({ root, hosts, ...(hosts.length === 2 ? { dishonestWeight: 1 } : {}) });
      expect([again.length, again.holes]).toEqual([longer, [lost]]);
      expect(await replicatedEvents(again.log)).toEqual(now);
    }
  });

  it('is recorded in its stream when other events of that stream follow it', async () => {
    const { a, b, c, root, core, settings } = await threeHosts({ events: 3 });
    const living = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    const metadata = { at: '2026-01-01T00:00:00.000Z', actor: 'a', correlationId: 'c', causationId: 'c' };
    const record = async (type: string, data: JsonObject, revision: bigint | 'no-stream') => {
      const event = { id: crypto.randomUUID(), type, data, metadata: { ...metadata, schemaVersion: 1 } };
      await living.log.append('mission-m', [event], revision);
    };
    const fields = { missionId: 'm', title: 'm', description: '', metadata: {}, tags: [] };
    await record('MissionCreated', fields, 'no-stream');
    await record('MissionUpdated', { missionId: 'm', title: 'n' }, 0n);
    await living.record(1);
    await record('MissionClosed', { missionId: 'm', outcome: 'COMPLETED', reason: '' }, 1n);
    await living.record(1);
    const length = await living.settles();
    const all = (await replicatedEvents(living.log)) as Replicated[];
    await living.stop();
    const lost = all.findIndex(({ type }) => type === 'MissionUpdated') + 1;
    for (const host of [a, b, c]) await lose(host, lost, length);
    const read = await readWithLoss({ root, hosts: [a, b, c] });
    // Events at the end that no host has are not in the log.
    expect([read.length, read.holes]).toEqual([length - 1, [lost]]);
    const restored = (await replicatedEvents(read.log)) as Replicated[];
    expect(restored.map(({ stream }) => stream)).toEqual(all.slice(0, -1).map(({ stream }) => stream));
  });
});
