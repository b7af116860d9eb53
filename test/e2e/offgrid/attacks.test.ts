import { randomBytes } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { bodyHashOf, hostKeyOf, requestHeaders } from '../../../src/infra/offgrid/protocol/authentication.js';
import { decodeBatch, encodeBatch } from '../../../src/infra/offgrid/protocol/batch.js';
import { encodeClaimBody } from '../../../src/infra/offgrid/protocol/claim-body.js';
import { MAX_EPOCH } from '../../../src/infra/offgrid/protocol/fields.js';
import { decodeHeadAnswer, openHead } from '../../../src/infra/offgrid/protocol/head.js';
import { decodeMendAnswer, encodeMend } from '../../../src/infra/offgrid/protocol/mend.js';
import { decodeSigned } from '../../../src/infra/offgrid/protocol/signed.js';
import { decodeStrict } from '../../../src/infra/offgrid/protocol/strict-cbor.js';
import { isVerifyKey, verifyKey, verifyKeyOf } from '../../../src/infra/offgrid/protocol/verify-key.js';
import { TestNode } from '../../support/node.js';
import { History, ORIGIN, Process, Refused, send, type Sent } from '../../support/offgrid/by-hand.js';
import { Front, type Exchange } from '../../support/offgrid/front.js';
import { AUTH_KEY, newFolder, newHost } from '../../support/offgrid/host.js';
import { evidenceOf, inHostFile, NO_EVIDENCE } from '../../support/offgrid/host-file.js';
import { newMission, newMissions, replicating, settled, statusOf, WAIT } from '../../support/offgrid/machine.js';
import { signMap } from '../../support/offgrid/protocol-2.js';
import { Random } from '../../support/random.js';

const PATH = `/replica/${ORIGIN}`;

/** A core of two hosts, with an observer of all requests in front of each. */
async function watched() {
  const folders = [await newFolder(), await newFolder()] as const;
  const hosts = [await newHost({ folder: folders[0] }), await newHost({ folder: folders[1] })] as const;
  const fronts = [await Front.of(hosts[0].url), await Front.of(hosts[1].url)] as const;
  const core = await TestNode.start(replicating(fronts.map(({ url }) => url)));
  onTestFinished(() => core.stop());
  await settled(core);
  return { core, hosts, folders, fronts };
}

/**
 * All that a host keeps of an origin: its events, those of a head beside them, and what was signed. The name of a staged
 * history is left out: anyone may stage again a tree that was staged once, and its events are those of the head.
 */
function kept(folder: string): Promise<object[]> {
  return inHostFile(
    folder,
    `SELECT o.id, o.origin, hex(o.key) AS key, hex(o.claim) AS claim, hex(o.head) AS head, hex(o.known) AS known,
       o.head_sequence, (SELECT count(*) FROM head_tails) AS beside,
       e.sequence AS at, hex(e.leaf) AS leaf, hex(e.eid) AS eid, hex(e.sealed) AS sealed
     FROM origins o LEFT JOIN events e ON e.origin = o.id ORDER BY o.id, e.sequence`,
  );
}

/** Waits until hosts know that all of their events are at quorum: the core then has nothing new to send. */
async function haveLearnedQuorum(folders: readonly string[]): Promise<void> {
  const haveLearned = () =>
    Promise.all(
      folders.map(async (folder) => {
        const [row] = await inHostFile<{ head: Uint8Array | null }>(folder, 'SELECT head FROM origins');
        const head = row?.head ?? null;
        if (head === null) return false;
        const tree = decodeStrict(decodeSigned('tree', head).content, 'a tree') as Map<string, number>;
        return tree.get('quorum') === tree.get('sequence');
      }),
    );
  await expect.poll(haveLearned, WAIT).toEqual(folders.map(() => true));
}

/** The outcome of a request: the code of the refusal, or the answer. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Refused) return error.code;
    throw error;
  }
}

/** Posts an authenticated request to the host and returns the code of the refusal. */
async function post(host: RunningHost, path: string, body: Uint8Array, sent: Sent = {}): Promise<unknown> {
  return outcomeOf(send(host, path, { method: 'POST', body, ...sent }).then(() => 'taken'));
}

/** The headers of a request that is authenticated again. */
function authenticated(host: RunningHost, { method, path, body, headers }: Exchange): Exchange['headers'] {
  const { id } = host.identity;
  const nonce = randomBytes(16).toString('hex');
  const date = String(Math.floor(Date.now() / 1_000));
  const lines = { host: id, method, path, nonce, date, bodyHash: bodyHashOf(body) };
  return { ...headers, ...requestHeaders(hostKeyOf(AUTH_KEY, id), lines) };
}

const isBatch = ({ path }: Exchange) => path === `${PATH}/events`;
const isClaim = ({ path }: Exchange) => path === `${PATH}/claim`;

describe('a host that attacks another with the key that all share', () => {
  it('changes nothing with junk, forgeries and huge epochs', async () => {
    const { core, hosts, folders } = await watched();
    await newMissions(core, 3);
    await settled(core, 5);
    await haveLearnedQuorum(folders);
    const before = await kept(folders[0]);
    const [host] = hosts;
    const root = RootKey.generate();
    const forged = History.begin(root).on(9);
    const mallory = (epoch: number) => new Process(root, epoch, 'mallory:12345678');
    expect(await outcomeOf(mallory(2).claim(host))).toBe('NOT_SIGNED');
    expect(await outcomeOf(mallory(MAX_EPOCH).claim(host))).toBe('NOT_SIGNED');

    // The verify key of the core is public: it is in each head.
    const body = await send(host, `${PATH}/head?challenge=${'0'.repeat(64)}`);
    const hostKey = verifyKey(Buffer.from(host.identity.verifyKey, 'base64'), 'the key of the host');
    const { key } = openHead(decodeHeadAnswer(body), hostKey).value;
    if (key === null || !isVerifyKey(key)) throw new Error('the host has pinned no key');
    for (const epoch of [1, 2, MAX_EPOCH, Number.MAX_SAFE_INTEGER]) {
      const content = { host: host.identity.id, epoch, origin: ORIGIN, writer: 'mallory:12345678' };
      const claim = signMap('claim', content, root.signingKey);
      for (const claimed of [key, verifyKeyOf(root.verifyKey)])
        expect(
          await post(host, `${PATH}/claim`, encodeClaimBody({ key: claimed, claim, challenge: randomBytes(16) })),
        ).toBe('NOT_SIGNED');
    }
    for (const [epoch, from, line, base] of [
      [1, 6, 1, 0],
      [1, 1, 1, 0],
      [2, 1, 1, 0],
      [2, 1, 1, 8],
      [MAX_EPOCH, 6, 1, 0],
      [MAX_EPOCH, 6, 2, 0],
    ] as const)
      expect(await outcomeOf(mallory(epoch).ship(host, forged, from, from + 1, { line, base, quorum: 5 }))).toBe(
        'NOT_SIGNED',
      );
    for (const junk of [randomBytes(10_000), encode({}), encode([1, 2]), Buffer.from('{}'), new Uint8Array()]) {
      for (const what of ['events', 'claim', 'mend']) {
        expect(await post(host, `${PATH}/${what}`, junk)).toBe('BAD_REQUEST');
      }
    }
    // A mended event needs no signature, and must be the one that was there.
    const mended = await send(host, `${PATH}/mend`, {
      method: 'POST',
      body: encodeMend({ events: forged.numbered(1, 9) }),
    });
    expect(decodeMendAnswer(mended).mended).toBe(0);
    expect(await kept(folders[0])).toEqual(before);
    expect(await evidenceOf(folders[0])).toEqual(NO_EVIDENCE);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 1 });
  });

  it('changes nothing by replaying what the core sent it to another host: a claim names its host, and a batch has nothing new', async () => {
    const { core, hosts, folders, fronts } = await watched();
    await newMissions(core, 3);
    await settled(core, 5);
    await haveLearnedQuorum(folders);
    const before = await kept(folders[0]);
    const requests = fronts[1].asked.filter((request) => isBatch(request) || isClaim(request));
    expect([requests.some(isBatch), requests.some(isClaim)]).toEqual([true, true]);
    for (const request of requests) {
      const outcome = await post(hosts[0], request.path, request.body);
      // A tree is valid at any host. A claim is not.
      expect(outcome).toBe(isClaim(request) ? 'NOT_SIGNED' : 'taken');
    }
    expect(await kept(folders[0])).toEqual(before);
    expect(await evidenceOf(folders[0])).toEqual(NO_EVIDENCE);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ degraded: false, stopped: null, writerEpoch: 1 });
  });
});

describe('a host that has only its own key', () => {
  it('cannot act as a core towards another host', async () => {
    const { hosts, folders, fronts } = await watched();
    await haveLearnedQuorum(folders);
    const before = await kept(folders[0]);
    const key = hostKeyOf(AUTH_KEY, hosts[1].identity.id);
    const [batch] = fronts[0].asked.filter(isBatch);
    expect(await post(hosts[0], `${PATH}/events`, batch?.body ?? new Uint8Array(), { key })).toBe('UNAUTHENTICATED');
    expect(await outcomeOf(send(hosts[0], `${PATH}/entries`, { key }))).toBe('UNAUTHENTICATED');
    expect(await kept(folders[0])).toEqual(before);
  });
});

describe('requests that arrive', () => {
  it('twice have no effect the second time, whether unchanged or authenticated again', async () => {
    const { core, hosts, folders, fronts } = await watched();
    const again: string[] = [];
    fronts.forEach((front, i) => {
      front.handler = async (request, pass) => {
        const answered = await pass(request);
        const host = hosts[i];
        if (host === undefined || request.method !== 'POST') return answered;
        again.push(String((await pass(request)).status));
        await pass({ ...request, headers: authenticated(host, request) });
        return answered;
      };
    });
    await newMissions(core, 20);
    await settled(core, 22);
    expect(new Set(again)).toEqual(new Set(['401']));
    await expectOnce(folders, 22);
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 1 });
  });

  it('late, or in another order, have no effect, even when the core cannot know whether they arrived', async () => {
    const { core, hosts, folders, fronts } = await watched();
    const random = new Random(7);
    const held: (() => Promise<unknown>)[] = [];
    fronts.forEach((front, i) => {
      front.handler = async (request, pass) => {
        const host = hosts[i];
        if (host !== undefined && isBatch(request)) {
          if (random.chance(0.3)) {
            held.push(() => pass({ ...request, headers: authenticated(host, request) }));
            throw new Error('this one is late');
          }
          if (random.chance(0.5) && held.length > 0) await held.splice(random.between(0, held.length - 1), 1)[0]?.();
          // The host accepts it, but the answer is lost.
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
    await haveLearnedQuorum(folders);
    const before = [await kept(folders[0]), await kept(folders[1])];
    for (const late of held) await late();
    expect([await kept(folders[0]), await kept(folders[1])]).toEqual(before);
    await expectOnce(folders, 32);
    // What was shipped under this epoch is signed by the origin: even the oldest part has nothing new.
    for (const request of fronts[0].asked.filter(isBatch)) await post(hosts[0], request.path, request.body);
    expect(await kept(folders[0])).toEqual(before[0]);
    expect(fronts[0].asked.filter(isBatch).some(({ body }) => decodeBatch(body).from === 1)).toBe(true);
    const { hosts: known, stopped } = await statusOf(core);
    expect([stopped, known.map(({ state }: { state: string }) => state)]).toEqual([null, ['ACTIVE', 'ACTIVE']]);
  });
});

describe('events that an attacker changes on the way', () => {
  it.each([
    ['the type', 'etype'],
    ['the time', 'ts'],
  ] as const)(
    'do not match the root when it changes %s: the host accepts nothing, and the core sends them again',
    async (_what, member) => {
      const { core, hosts, folders, fronts } = await watched();
      let changed = 0;
      fronts.forEach((front, i) => {
        front.handler = async (request, pass) => {
          const host = hosts[i];
          if (host === undefined || !isBatch(request) || changed >= 4) return pass(request);
          const batch = decodeBatch(request.body);
          if (batch.events.length === 0) return pass(request);
          changed += 1;
          const events = batch.events.map((event) => ({ ...event, [member]: event[member] + 1 }));
          const other = { ...request, body: Buffer.from(encodeBatch({ ...batch, events })) };
          return pass({ ...other, headers: authenticated(host, other) });
        };
      });
      await newMissions(core, 3);
      await settled(core, 5);
      expect(changed).toBeGreaterThanOrEqual(2);
      await expectOnce(folders, 5);
      expect(await statusOf(core)).toMatchObject({ stopped: null, hosts: [{ state: 'ACTIVE' }, { state: 'ACTIVE' }] });
    },
  );
});

/** Hosts that have every event once, and nothing else. */
async function expectOnce(folders: readonly string[], count: number): Promise<void> {
  for (const folder of folders) {
    const rows = await inHostFile<{ sequence: number }>(folder, 'SELECT sequence FROM events ORDER BY sequence');
    expect(rows.map(({ sequence }) => sequence)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
    expect(await inHostFile(folder, 'SELECT sequence FROM head_tails')).toEqual([]);
    expect(await evidenceOf(folder)).toEqual(NO_EVIDENCE);
  }
}
