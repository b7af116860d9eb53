import { randomBytes } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { MAX_EPOCH, signClaim } from '../../../src/infra/offgrid/wire/claim.js';
import { decodeBatch, encodeBatch } from '../../../src/infra/offgrid/wire/batch.js';
import { TestNode } from '../../support/node.js';
import { Front, type Exchange } from '../../support/offgrid/front.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { newMission, newMissions, replicating, settled, statusOf } from '../../support/offgrid/machine.js';
import { evidenceOf, headersFor, inHostFile, send } from '../../support/offgrid/raw.js';
import { ORIGIN, Writer } from '../../support/offgrid/writer.js';
import { Random } from '../../support/random.js';

/** A core of two hosts, before each of which is one who sees all requests. */
async function watched() {
  const folders = [await newFolder(), await newFolder()] as const;
  const hosts = [await newHost({ folder: folders[0] }), await newHost({ folder: folders[1] })] as const;
  const fronts = [await Front.of(hosts[0].url), await Front.of(hosts[1].url)] as const;
  const core = await TestNode.start(replicating(fronts.map(({ url }) => url)));
  onTestFinished(() => core.stop());
  await settled(core);
  return { core, hosts, folders, fronts };
}

/** All that a host keeps of an origin, but for what it was told. */
function kept(folder: string): Promise<object[]> {
  return inHostFile(
    folder,
    `SELECT o.*, e.sequence AS at, e.epoch AS under, hex(e.eid) AS eid, hex(e.sealed) AS sealed
     FROM origins o LEFT JOIN events e ON e.origin = o.id ORDER BY o.id, e.sequence`,
  );
}

/** Posts what is signed with the shared key, and gives the code it is refused with. */
async function post(host: RunningHost, path: string, body: Uint8Array): Promise<string> {
  const { status, json } = await send(host, path, { method: 'POST', body });
  return status === 200 ? 'taken' : json.error.code;
}

const isBatch = ({ path }: Exchange) => path === `/replica/${ORIGIN}/events`;
const isClaim = ({ path }: Exchange) => path === `/replica/${ORIGIN}/claim`;

describe('a host that attacks another with the key that all share', () => {
  it('changes nothing with junk, forgeries and huge epochs', async () => {
    const { core, hosts, folders } = await watched();
    await newMissions(core, 3);
    await settled(core, 5);
    const before = await kept(folders[0]);
    const [host] = hosts;
    const mallory = new Writer(RootKey.generate(), { epoch: MAX_EPOCH, writer: 'mallory:12345678' });
    const here = { origin: ORIGIN, host: host.identity.id };
    const claim = (epoch: number) =>
      encode(signClaim(mallory.root, here, { ...mallory.grant, epoch, challenge: 'c'.repeat(16) }));
    const batch = (epoch: number, from: number) =>
      encodeBatch(mallory.root.signingKey, here, epoch, mallory.events(from, from + 1));
    const path = `/replica/${ORIGIN}`;
    expect(await post(host, `${path}/claim`, claim(2))).toBe('NOT_SIGNED');
    expect(await post(host, `${path}/claim`, claim(MAX_EPOCH))).toBe('NOT_SIGNED');
    expect(await post(host, `${path}/claim`, claim(Number.MAX_SAFE_INTEGER))).toBe('BAD_REQUEST');
    for (const [epoch, from] of [
      [1, 6],
      [1, 1],
      [2, 1],
      [MAX_EPOCH, 6],
    ] as const)
      expect(await post(host, `${path}/events`, batch(epoch, from))).toBe('NOT_SIGNED');
    for (const junk of [randomBytes(10_000), encode({}), encode([1, 2]), Buffer.from('{}'), new Uint8Array()]) {
      expect(await post(host, `${path}/events`, junk)).toBe('BAD_REQUEST');
      expect(await post(host, `${path}/claim`, junk)).toBe('BAD_REQUEST');
    }
    expect(await kept(folders[0])).toEqual(before);
    expect(await evidenceOf(folders[0])).toEqual([]);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  });

  it('changes nothing with what the core said to it, played to another', async () => {
    const { core, hosts, folders, fronts } = await watched();
    await newMissions(core, 3);
    await settled(core, 5);
    const before = await kept(folders[0]);
    for (const { path, body } of fronts[1].asked.filter((request) => isBatch(request) || isClaim(request)))
      expect(await post(hosts[0], path, body)).toBe('NOT_SIGNED');
    expect(await kept(folders[0])).toEqual(before);
    expect(await statusOf(core)).toMatchObject({ degraded: false });
  });
});

describe('requests that come', () => {
  it('twice are of no effect the second time: as they were, or authenticated anew', async () => {
    const { core, hosts, folders, fronts } = await watched();
    const again: string[] = [];
    fronts.forEach((front, i) => {
      front.handler = async (request, pass) => {
        const told = await pass(request);
        const host = hosts[i];
        if (host === undefined || request.method !== 'POST') return told;
        again.push(String((await pass(request)).status));
        const { path, body } = request;
        await pass({
          ...request,
          headers: { ...request.headers, ...headersFor(host, path, { method: 'POST', body }) },
        });
        return told;
      };
    });
    await newMissions(core, 20);
    await settled(core, 22);
    expect(new Set(again)).toEqual(new Set(['401']));
    await expectOnce(folders, 22);
  });

  it('late, and in another order, are of no effect: also when nobody knows whether they came', async () => {
    const { core, hosts, folders, fronts } = await watched();
    const random = new Random(7);
    const held: (() => Promise<unknown>)[] = [];
    fronts.forEach((front, i) => {
      front.handler = async (request, pass) => {
        const host = hosts[i];
        if (host !== undefined && isBatch(request)) {
          const { path, body } = request;
          const headers = () => ({ ...request.headers, ...headersFor(host, path, { method: 'POST', body }) });
          if (random.chance(0.3)) {
            held.push(() => pass({ ...request, headers: headers() }));
            throw new Error('this one is late');
          }
          if (random.chance(0.5) && held.length > 0) await held.splice(random.between(0, held.length - 1), 1)[0]?.();
          // Taken, but the answer is lost.
          if (random.chance(0.2)) {
            await pass(request);
            throw new Error('this answer is lost');
          }
        }
        return pass(request);
      };
    });
    for (let i = 0; i < 30; i += 1) await newMission(core, {}, i % 3 === 0 ? 'REPLICATED' : 'APPENDED');
    for (const front of fronts) front.handler = undefined;
    await settled(core, 32);
    const before = [await kept(folders[0]), await kept(folders[1])];
    for (const late of held) await late();
    expect([await kept(folders[0]), await kept(folders[1])]).toEqual(before);
    await expectOnce(folders, 32);
    // What was shipped under this epoch is signed for this host: also the oldest of it says nothing new.
    for (const request of fronts[0].asked.filter(isBatch)) await post(hosts[0], request.path, request.body);
    expect(await kept(folders[0])).toEqual(before[0]);
    expect(fronts[0].asked.filter(isBatch).some(({ body }) => decodeBatch(body)?.from === 1)).toBe(true);
  });
});

/** Hosts that have every event once, and nothing beside. */
async function expectOnce(folders: readonly string[], count: number): Promise<void> {
  for (const folder of folders) {
    const rows = await inHostFile<{ sequence: number }>(folder, 'SELECT sequence FROM events ORDER BY sequence');
    expect(rows.map(({ sequence }) => sequence)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    expect(await evidenceOf(folder)).toEqual([]);
  }
}
