import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/core-paths.js';
import { WriterFile } from '../../../src/infra/offgrid/replicator/writer-file.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { Front, type Handler } from '../../support/offgrid/front.js';
import { newHost } from '../../support/offgrid/host.js';
import { LIES, type Liar } from '../../support/offgrid/lying-host.js';
import {
  hostAt,
  newMission,
  replicating,
  retryHost,
  setHostState,
  settled,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { readBack } from '../../support/offgrid/read-back.js';

/** A core of two hosts, both of which must sign; one of them may be told to lie. */
async function besideALiar() {
  const [honest, host] = [await newHost({ name: 'host-a' }), await newHost({ name: 'host-b' })];
  const liar = await Front.of(host.url);
  const core = await TestNode.start(replicating([honest.url, liar.url]));
  onTestFinished(() => core.stop());
  await settled(core);
  return {
    core,
    liar,
    identity: host.identity,
    hosts: [`${liar.url}#${host.identity.id}`, `${honest.url}#${honest.identity.id}`],
  };
}

/** A host that says that another writer was granted an epoch, which nobody signed for. */
function fencing(epoch: number, writer: string): Handler {
  const granted = { epoch, writer, challenge: 'c'.repeat(16), signature: 'A'.repeat(86) };
  return (request, pass) =>
    request.method === 'POST'
      ? Promise.resolve({
          status: 403,
          headers: { 'content-type': 'application/json' },
          body: Buffer.from(JSON.stringify({ error: { code: 'FENCED', message: 'No' }, granted })),
        })
      : pass(request);
}

/** How far all hosts but one have got. */
async function upTo(core: TestNode, but: string): Promise<readonly number[]> {
  const { hosts } = await statusOf(core);
  return hosts.filter(({ id }: Untyped) => id !== but).map(({ sequence }: Untyped): number => sequence);
}

const suspended: readonly { what: string; lie: Liar; why: RegExp }[] = [
  { what: 'a wrong root', lie: LIES.wrongRoot, why: /not that of the events|signs for something else/ },
  { what: 'more events than it has', lie: LIES.tooMuch, why: /root is not|signs for something else/ },
  { what: 'more than it has, and takes nothing', lie: LIES.hollow, why: /has not what it signed for/ },
  { what: 'a head that is not signed', lie: LIES.forgedHead, why: /not signed with its key/ },
  { what: 'a head that another signed', lie: LIES.othersSignature, why: /not signed with its key/ },
  { what: 'an old head', lie: LIES.oldHead, why: /signed before|signs for something else/ },
  { what: 'that it has less than it signed for', lie: LIES.wentBack, why: /had signed for 2|signs for something else/ },
  { what: 'the head of another origin', lie: LIES.otherOrigin, why: /for another origin/ },
  { what: 'that it is another host', lie: LIES.otherIdentity, why: /answers as another host/ },
];

describe('a host that says', () => {
  it.each(suspended)(
    '$what is suspended, and counts again once it is reinstated and true; a restore takes the other',
    async ({ lie, why }) => {
      const { core, liar, identity, hosts } = await besideALiar();
      liar.handler = lie(identity);
      await newMission(core);
      const { handler } = liar;
      // The first head it signs is kept by one that tells old ones: here is a second.
      await newMission(core);
      await expect
        .poll(() => hostAt(core, liar.url), WAIT)
        .toMatchObject({ id: identity.id, state: 'SUSPENDED', why: expect.stringMatching(why), reached: false });
      const { quorumSequence, degraded } = await statusOf(core);
      // The head that is old later is true when it is told first.
      expect(lie === LIES.oldHead ? [2, 3] : [2]).toContain(quorumSequence);
      expect(degraded).toBe(true);
      expect(core.logged.join()).toContain(`host ${identity.id} is suspended`);

      liar.handler = handler;
      // What was recorded of it travels to the other.
      await expect.poll(() => upTo(core, identity.id), WAIT).toEqual([5]);
      const { sequence, troubles } = await readBack(core.folder, hosts);
      expect(sequence).toBe(5);
      for (const trouble of troubles) expect(trouble).toContain(liar.url);

      liar.handler = undefined;
      expect(await setHostState(core, identity.id, 'ACTIVE')).toEqual({ host: { state: 'ACTIVE' } });
      expect(await settled(core)).toMatchObject({ headSequence: 6, quorumSequence: 6 });
    },
  );
});

describe('a host that says once what is not so', () => {
  it('is asked again, and goes on counting', async () => {
    const { core, liar, identity } = await besideALiar();
    const posted: string[] = [];
    const lie = LIES.wrongRoot(identity);
    liar.handler = (request, pass) =>
      request.method === 'POST' && posted.push(request.path) === 1 ? lie(request, pass) : pass(request);
    await newMission(core);
    expect(await settled(core, 3)).toMatchObject({ quorumSequence: 3, degraded: false });
    // It was believed no longer, and met anew.
    expect(posted[0]).toMatch(/\/events$/);
    expect(posted.slice(1)).toContainEqual(expect.stringMatching(/\/claim$/));
    expect(await hostAt(core, liar.url)).toMatchObject({ state: 'ACTIVE', sequence: 3 });
  });
});

const unusable: readonly { what: string; lie: Liar; why: RegExp }[] = [
  { what: 'what nobody can read', lie: LIES.garbage, why: /answers what no host would/ },
  { what: 'without end', lie: LIES.endless, why: /answers with more than 8388608 bytes/ },
];

describe('a host that answers', () => {
  it.each(unusable)(
    '$what counts for nothing until it answers well; a restore takes the other',
    async ({ lie, why }) => {
      const { core, liar, identity, hosts } = await besideALiar();
      liar.handler = lie(identity);
      await newMission(core);
      await expect
        .poll(() => hostAt(core, liar.url), WAIT)
        .toMatchObject({ reached: false, lastError: expect.stringMatching(why), sequence: 2 });
      expect(await statusOf(core)).toMatchObject({ quorumSequence: 2, degraded: true });

      const { sequence, troubles } = await readBack(core.folder, hosts);
      expect(sequence).toBe(3);
      expect(troubles).toEqual([expect.stringMatching(why)]);

      liar.handler = undefined;
      await retryHost(core, identity.id);
      expect(await settled(core)).toMatchObject({ quorumSequence: 3 });
    },
  );

  it.each([
    { what: 'with bytes that were not sealed', lie: LIES.wrongBytes },
    { what: 'with events in each others places', lie: LIES.wrongOrder },
  ])('$what is named by a restore, which takes the other', async ({ lie }) => {
    const { core, liar, identity, hosts } = await besideALiar();
    await newMission(core);
    await settled(core, 3);
    liar.handler = lie(identity);
    expect(await readBack(core.folder, hosts)).toMatchObject({
      sequence: 3,
      troubles: [expect.stringContaining(`${liar.url} (${identity.id}) is not asked any further`)],
    });
  });
});

describe('a host that makes up a writer of a higher epoch', () => {
  it.each([
    { what: 'of another log', writerOf: () => 'mallory:12345678', epoch: 99 },
    { what: 'of this log', writerOf: (logId: string) => `${logId}:12345678`, epoch: Number.MAX_SAFE_INTEGER - 1 },
  ])('$what stops no core, and uses up no epochs', async ({ writerOf, epoch }) => {
    const hosts = [await newHost(), await newHost(), await newHost()] as const;
    const fronts = [await Front.of(hosts[0].url), await Front.of(hosts[1].url), await Front.of(hosts[2].url)] as const;
    const core = await TestNode.start(replicating(fronts.map(({ url }) => url)));
    onTestFinished(() => core.stop());
    await settled(core);
    fronts[0].handler = fencing(epoch, writerOf(core.services.log.logId));
    for (let i = 0; i < 3; i += 1)
      expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    await expect
      .poll(() => hostAt(core, fronts[0].url), WAIT)
      .toMatchObject({ state: 'SUSPENDED', why: expect.stringContaining('whom this origin never was') });
    expect(await statusOf(core)).toMatchObject({ stopped: null, degraded: true });
    expect(await new WriterFile(corePaths(core.folder).writer).load()).toMatchObject({ epoch: 1, isElected: true });
    await expect.poll(() => upTo(core, hosts[0].identity.id), WAIT).toEqual([6, 6]);
    const named = fronts.map(({ url }, i) => `${url}#${(hosts[i] ?? hosts[0]).identity.id}`);
    const { sequence, troubles, epoch: claimed } = await readBack(core.folder, named, { claims: true });
    expect({ sequence, claimed }).toEqual({ sequence: 6, claimed: 2 });
    expect(troubles).toEqual([expect.stringContaining(`${fronts[0].url} (${hosts[0].identity.id})`)]);
  });
});
