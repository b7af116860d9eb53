import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import type { RootKey } from '../../../src/infra/crypto/root-key.js';
import { readKeyring } from '../../../src/infra/crypto/keyring-file.js';
import { encodeEntries } from '../../../src/infra/offgrid/protocol/answers.js';
import { signClaim } from '../../../src/infra/offgrid/protocol/claim.js';
import { signHead, type Head } from '../../../src/infra/offgrid/protocol/head.js';
import { encodeSigned } from '../../../src/infra/offgrid/protocol/signed.js';
import { encodeStoredEvent, decodeStoredEvents } from '../../../src/infra/offgrid/protocol/events-answer.js';
import { WriterFile } from '../../../src/infra/offgrid/replication/writer-file.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { Reader } from '../../support/offgrid/by-hand.js';
import { Front, type Handler } from '../../support/offgrid/front.js';
import { newHost } from '../../support/offgrid/host.js';
import { LyingHost, type LieName } from '../../support/offgrid/lying-host.js';
import { newMission, replicating, retryHost, setHostState, settled, statusOf } from '../../support/offgrid/machine.js';
import { readBackForTest, type ReadingOptions } from '../../support/offgrid/reading-back.js';

const WAIT = { timeout: 120_000, interval: 50 };
const UNKNOWN_KEY = generateKeyPairSync('ed25519').privateKey;

/** A core of two hosts, both of which must sign; one is dishonest on demand, or does what `front` is set to. */
async function besideALiar() {
  const [honest, host] = [await newHost({ name: 'host-a' }), await newHost({ name: 'host-b' })];
  const liar = await LyingHost.of(host);
  const front = await Front.of(liar.url);
  const core = await TestNode.start(replicating([honest.url, front.url]));
  onTestFinished(() => core.stop());
  await newMission(core);
  await settled(core, 3);
  const named = [
    { url: front.url, id: liar.id },
    { url: honest.url, id: honest.identity.id },
  ];
  return { core, liar, host, front, honest, restore: () => restored(core, named) };
}

/** What a restore gets from hosts. */
async function restored(core: TestNode, hosts: ReadingOptions['hosts']) {
  return readBackForTest({ root: await rootOf(core), hosts });
}

async function rootOf(core: TestNode): Promise<RootKey> {
  const root = await readKeyring(corePaths(core.folder).keyring, undefined);
  if (root === undefined) throw new Error('there is no keyring');
  return root;
}

/** One host as the API shows it. */
async function shown(core: TestNode, id: string): Promise<Untyped> {
  const { hosts } = await core.gql('{ hosts { id state why reached lastError sequence proof { kind } } }');
  return hosts.find((host: Untyped) => host.id === id);
}

const proven: readonly { what: string; lie: LieName; kind: string; why: RegExp; quorum: number }[] = [
  {
    ...{ what: 'a tree of an enormous epoch', lie: 'inventedTree', kind: 'STATEMENT', quorum: 3 },
    why: /signed a head with a statement that is not the origin's/,
  },
  {
    ...{ what: 'a staged tree of an enormous epoch', lie: 'inventedStaged', kind: 'STATEMENT', quorum: 3 },
    why: /signed a head with a statement that is not the origin's/,
  },
  {
    ...{ what: 'after a batch, that it has nothing', lie: 'forgetful', kind: 'BATCH', quorum: 3 },
    why: /accepted a batch up to event [34] of epoch 1, but its head does not have it/,
  },
  {
    ...{ what: 'after a claim, that it has granted none', lie: 'unclaimed', kind: 'CLAIM', quorum: 3 },
    why: /answered a claim of epoch 2 by \S+ with a head that does not grant it/,
  },
  {
    // It accepts the event, and is dishonest when it is asked.
    ...{ what: 'an old tree', lie: 'oldTree', kind: 'RANK', quorum: 4 },
    why: /lost or hides event [34] of epoch 1, which it had signed for/,
  },
];

describe('a host that signs', () => {
  it.each(proven)(
    '$what is suspended at the first time, and counts again once it is reinstated and true; a restore takes the other',
    async ({ lie, kind, why, quorum }) => {
      const { core, liar, front, restore } = await besideALiar();
      liar.lie = lie;
      // A claim is made when a process starts.
      if (kind === 'CLAIM') await core.restart();
      await newMission(core);
      await expect
        .poll(() => shown(core, liar.id), WAIT)
        .toMatchObject({ state: 'SUSPENDED', why: expect.stringMatching(why), reached: false, proof: { kind } });
      expect(await statusOf(core)).toMatchObject({ quorumSequence: quorum, degraded: true, stopped: null });
      expect(core.logged.join()).toContain(`host ${liar.id} is suspended`);

      // What was recorded about it is shipped to the other host, and a restore gets it from there.
      await expect.poll(async () => (await restore()).length, { ...WAIT, timeout: 60_000 }).toBe(5);
      const { troubles, leftOut } = await restore();
      // What the origin never signed has no author; what it signed once does not count at a suspended host.
      const isForged = kind === 'STATEMENT';
      const ofHosts = troubles.filter((trouble) => trouble.includes('http'));
      expect(ofHosts).toEqual(isForged ? [expect.stringMatching(`${front.url} is dishonest`)] : []);
      const caught = { host: { host: liar.id }, why: 'the history records that it was suspended' };
      expect(leftOut).toMatchObject(isForged ? [] : [caught]);

      liar.lie = undefined;
      expect(await setHostState(core, liar.id, 'ACTIVE')).toEqual({ host: { state: 'ACTIVE' } });
      expect(await settled(core, 6)).toMatchObject({ headSequence: 6, quorumSequence: 6 });
      expect(await shown(core, liar.id)).toMatchObject({ proof: null });
    },
  );
});

/** Changes only the answer to the first batch. @returns what was posted since then, by path */
function onFirstBatch(front: Front, what: Handler): string[] {
  const posted: string[] = [];
  front.handler = (request, pass) => {
    if (request.method !== 'POST') return pass(request);
    posted.push(request.path);
    return posted.length === 1 ? what(request, pass) : pass(request);
  };
  return posted;
}

describe('a host that makes one false statement', () => {
  it('without signing it is asked again, and still counts', async () => {
    const { core, front, liar } = await besideALiar();
    const posted = onFirstBatch(front, (request) =>
      Promise.resolve(liar.answers(request, 200, Buffer.from('not an answer'))),
    );
    await newMission(core);
    expect(await settled(core, 4)).toMatchObject({ quorumSequence: 4, degraded: false });
    expect(posted[0]).toMatch(/\/events$/);
    expect(posted.length).toBeGreaterThan(1);
    expect(await shown(core, liar.id)).toMatchObject({ state: 'ACTIVE', sequence: 4, proof: null });
  });

  it('and signs it is suspended for that, although it makes no other', async () => {
    const { core, front, liar } = await besideALiar();
    onFirstBatch(front, async (request, pass) => {
      liar.lie = 'forgetful';
      return pass(request).finally(() => (liar.lie = undefined));
    });
    await newMission(core);
    await expect.poll(() => shown(core, liar.id), WAIT).toMatchObject({ state: 'SUSPENDED', proof: { kind: 'BATCH' } });
    expect(await statusOf(core)).toMatchObject({ quorumSequence: 3 });
  });
});

/** Heads of another host: changed, and signed with some key. */
function heads(change: Partial<Head>, liar: LyingHost): Handler {
  return async (request, pass) => {
    const reply = await pass(request);
    const head = liar.headOf(reply);
    if (head === undefined) return reply;
    return liar.answers(request, 200, encodeSigned(signHead({ ...head, ...change }, UNKNOWN_KEY)));
  };
}

const unproven: readonly { what: string; lie?: LieName; handler?: (liar: LyingHost) => Handler; why: RegExp }[] = [
  { what: 'unreadable bytes', lie: 'garbage', why: /^http\S+: .+/ },
  { what: 'without its HMAC', lie: 'withoutHmac', why: /is not host \w+, or has another OFFGRID_AUTH_KEY/ },
  { what: 'what it has signed over another request', lie: 'replayedHead', why: /does not answer the request/ },
  { what: 'that it is another host', lie: 'otherHost', why: /does not answer the request/ },
  { what: 'a head that another has signed', handler: (liar) => heads({}, liar), why: /did not send a valid head/ },
  {
    what: 'without end',
    handler: (liar) => async (request, pass) =>
      request.path === '/pubkeys' ? pass(request) : liar.answers(request, 200, Buffer.alloc(64 * 1024)),
    why: /The answer has more than 16384 bytes/,
  },
];

describe('a host that answers', () => {
  it.each(unproven)(
    '$what is not called a liar, and counts for nothing until it answers well; a restore takes the other',
    async ({ lie, handler, why }) => {
      const { core, liar, front, honest, restore } = await besideALiar();
      if (lie !== undefined) liar.lie = lie;
      if (handler !== undefined) front.handler = handler(liar);
      await newMission(core);
      await expect
        .poll(() => shown(core, liar.id), WAIT)
        .toMatchObject({
          ...{ state: 'ACTIVE', proof: null, reached: false, sequence: 3 },
          lastError: expect.stringMatching(why),
        });
      await expect.poll(async () => (await shown(core, honest.identity.id)).sequence, WAIT).toBe(4);
      expect(await statusOf(core)).toMatchObject({ quorumSequence: 3, degraded: true, stopped: null });

      const { length, troubles } = await restore();
      expect(length).toBe(4);
      expect(troubles).toEqual([expect.stringMatching(why)]);

      [liar.lie, front.handler] = [undefined, undefined];
      await retryHost(core, liar.id);
      expect(await settled(core, 4)).toMatchObject({ quorumSequence: 4 });
    },
  );

  it('that another key is pinned there is BLOCKED, shown with what to do, and tried again immediately with retryHost', async () => {
    const { core, liar, restore } = await besideALiar();
    liar.lie = 'otherKey';
    await newMission(core);
    await expect
      .poll(() => shown(core, liar.id), WAIT)
      .toMatchObject({
        state: 'BLOCKED',
        proof: null,
        why: expect.stringContaining('host reset-key --origin core-v2'),
      });
    // That it is BLOCKED is an event as well.
    await expect.poll(async () => (await restore()).length, WAIT).toBe(5);
    liar.lie = undefined;
    await retryHost(core, liar.id);
    expect(await settled(core, 6)).toMatchObject({ quorumSequence: 6 });
  });
});

/** Gives events in the wrong order. */
const wrongOrder: (liar: LyingHost) => Handler = (liar) => async (request, pass) => {
  const reply = await pass(request);
  if (!request.path.includes('/events?') || reply.status !== 200) return reply;
  const events = decodeStoredEvents(reply.body as Buffer);
  const swapped = events.map((event, i) => ({ ...event, sealed: events.at(-1 - i)?.sealed ?? null }));
  return liar.answers(request, 200, Buffer.concat(swapped.map(encodeStoredEvent)));
};

/** Gives as many entries as requested, none of which belong to its events. */
const wrongEntries: (liar: LyingHost) => Handler = (liar) => async (request, pass) => {
  const [, limit] = /\/entries\?.*limit=(\d+)/.exec(request.path) ?? [];
  if (limit === undefined) return pass(request);
  const entries = Array.from({ length: Number(limit) }, () => new Uint8Array(42).fill(1));
  return liar.answers(request, 200, encodeEntries(entries));
};

const read: readonly { what: string; lie?: LieName; handler?: (liar: LyingHost) => Handler }[] = [
  { what: 'bytes that were not sealed', lie: 'wrongContents' },
  { what: 'events in the wrong order', handler: wrongOrder },
  { what: 'none of the events', lie: 'withheld' },
  { what: 'entries that are not those of its events', handler: wrongEntries },
  { what: 'fewer entries than it is asked for', lie: 'wrongEntries' },
];

describe('a host that gives a restore', () => {
  it.each(read)('$what is named by the restore, which uses the other host', async ({ lie, handler }) => {
    const { core, liar, front, restore } = await besideALiar();
    await newMission(core, { description: 'A second one' });
    await settled(core, 4);
    if (lie !== undefined) liar.lie = lie;
    if (handler !== undefined) front.handler = handler(liar);
    const { length, troubles } = await restore();
    expect(length).toBe(4);
    expect(troubles.length).toBeGreaterThan(0);
    for (const trouble of troubles) expect(trouble).toContain(`${front.url} (${liar.id})`);
  });
});

describe('a host that signs for events and keeps none', () => {
  it('does no harm beside an honest one; a restore from it alone is refused and names it', async () => {
    const { core, liar, host, front, honest, restore } = await besideALiar();
    liar.lie = 'hollow';
    // It continues from its last statement.
    await new Reader({ url: liar.url, identity: host.identity }, await rootOf(core)).head();
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    // It shows what the origin has signed, so it has proven nothing against itself.
    expect(await shown(core, liar.id)).toMatchObject({ state: 'ACTIVE', proof: null });
    expect(await restore()).toMatchObject({ length: 4 });
    await honest.close();
    await expect(restored(core, [{ url: front.url, id: liar.id }])).rejects.toThrow(
      `Not all of the first 4 events that the origin has signed can be obtained`,
    );
  });
});

describe('a host that invents a writer of a higher epoch', () => {
  it.each([
    { what: 'of another log', writerOf: () => 'mallory:12345678', epoch: 99 },
    { what: 'of this log', writerOf: (logId: string) => `${logId}:12345678`, epoch: 2 ** 48 },
  ])('$what stops no core, and uses up no epochs', async ({ writerOf, epoch }) => {
    const hosts = [await newHost(), await newHost(), await newHost()] as const;
    const [id, ...others] = hosts.map(({ identity }) => identity.id);
    const liar = await LyingHost.of(hosts[0]);
    const front = await Front.of(liar.url);
    const core = await TestNode.start(replicating([front.url, hosts[1].url, hosts[2].url]));
    onTestFinished(() => core.stop());
    await settled(core);
    const claim = { host: liar.id, origin: 'core-v2', epoch, writer: writerOf(core.services.log.logId) };
    const forged = signClaim(claim, UNKNOWN_KEY);
    front.handler = (request, pass) =>
      request.method === 'POST'
        ? Promise.resolve(
            liar.refuses(request, { code: 'FENCED', claim: forged, message: 'A higher epoch was granted.' }),
          )
        : pass(request);
    for (let i = 0; i < 3; i += 1)
      expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    // It is neither an answer nor a proof: the host does not count while it continues to do this.
    await expect
      .poll(() => shown(core, liar.id), WAIT)
      .toMatchObject({
        state: 'ACTIVE',
        reached: false,
        lastError: expect.stringContaining('A higher epoch was granted'),
        sequence: 2,
      });
    for (const other of others) await expect.poll(async () => (await shown(core, other)).sequence, WAIT).toBe(5);
    expect(await statusOf(core)).toMatchObject({ stopped: null, degraded: true, writerEpoch: 1 });
    // A process that starts claims one epoch above the granted one, not above the invented one.
    await core.restart();
    await newMission(core);
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ stopped: null, writerEpoch: 2, quorumSequence: 6 });
    const { logId } = core.services.log;
    expect(await new WriterFile(corePaths(core.folder).writer).load()).toEqual({ logId, epoch: 2 });

    const named = hosts.map(({ url, identity }) => ({ url: identity.id === id ? front.url : url, id: identity.id }));
    const { length, folder } = await restored(core, named);
    expect(length).toBe(6);
    expect(await new WriterFile(`${folder}/writer.json`).load()).toMatchObject({ epoch: 2 });
  });
});
