import { describe, expect, it } from 'vitest';
import { openHead } from '../../../../src/infra/offgrid/protocol/head.js';
import { verifyKey } from '../../../../src/infra/offgrid/protocol/verify-key.js';
import { signedThingOf } from '../../../../src/infra/offgrid/replication/signed-text.js';
import type { HostProof } from '../../../../src/domain/replication.js';
import { appendFact } from '../../../../src/infra/offgrid/replication/replication-events.js';
import { ORIGIN } from '../../../support/offgrid/by-hand.js';
import { Front } from '../../../support/offgrid/front.js';
import { newHost } from '../../../support/offgrid/host.js';
import { LyingHost, type LieName } from '../../../support/offgrid/lying-host.js';
import { newKeys } from '../../../support/offgrid/protocol-2.js';
import { ReplicatingCore, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';

const BY = { at: new Date().toISOString(), actor: 'operator', correlationId: 'c' };

/** A core with two honest hosts, and one that is dishonest on request; two are a quorum. */
async function setUp(lie?: LieName) {
  const [behind, b, c] = await Promise.all([newHost(), newHost(), newHost()]);
  const liar = await LyingHost.of(behind, lie);
  const core = await ReplicatingCore.start({ hosts: wanted(liar, b, c), required: 2 });
  const stateOf = async (host: string) => (await core.known()).hosts.get(host)?.state;
  return { liar, behind, b, c, core, stateOf };
}

/** False answers that are proof, with the kind of proof, and whether the host is dishonest from the beginning. */
const PROVEN: readonly (readonly [LieName, HostProof['kind']])[] = [
  ['inventedTree', 'STATEMENT'],
  ['inventedStaged', 'STATEMENT'],
  ['forgetful', 'BATCH'],
  ['unclaimed', 'CLAIM'],
];

/** False answers that prove nothing. */
const UNPROVEN: readonly LieName[] = [
  ...(['replayedHead', 'otherKey', 'otherHost', 'fencedByEcho', 'busy', 'other', 'hollow', 'withoutHmac'] as const),
  ...(['garbage', 'stalled', 'tooLarge', 'picky', 'broken', 'pinned'] as const),
];

describe('a host that proves itself dishonest', () => {
  it.each(PROVEN)('%s: it is suspended immediately, and the others continue', async (lie, kind) => {
    const { liar, behind, b, c, core, stateOf } = await setUp(lie);
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('SUSPENDED');
    await core.record(3);
    expect(await core.settles()).toBeGreaterThanOrEqual(5);
    expect([await stateOf(b.identity.id), await stateOf(c.identity.id), core.halted]).toEqual([
      ...['ACTIVE', 'ACTIVE', undefined],
    ]);
    const [change] = (await core.events('HostStateChanged')) as unknown as { proof: HostProof }[];
    expect(change?.proof.kind).toBe(kind);
    // Any reader of the log can verify the proof.
    const key = verifyKey(Buffer.from(behind.identity.verifyKey, 'base64'), 'the key');
    expect(openHead(signedThingOf('head', change!.proof.head), key).value.host).toBe(liar.id);
    expect(change?.proof.against === null).toBe(kind === 'STATEMENT');
  });

  it('that shows an old tree, once a longer one was counted, is suspended', async () => {
    const { liar, core, stateOf } = await setUp();
    await core.settles();
    await core.record(3);
    const length = await core.settles();
    await expect.poll(async () => (await core.known()).hosts.get(liar.id)?.sequence, WAIT).toBe(length);
    liar.lie = 'oldTree';
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('SUSPENDED');
    const [change] = (await core.events('HostStateChanged')) as unknown as { proof: HostProof }[];
    expect(change?.proof).toMatchObject({ kind: 'RANK', against: [expect.any(String), expect.any(String)] });
  });
});

describe('a host with a false answer that proves nothing', () => {
  it.each(UNPROVEN)('%s: it is not suspended, and the others continue', async (lie) => {
    const { liar, b, c, core, stateOf } = await setUp(lie);
    await core.record(3);
    expect(await core.settles()).toBeGreaterThanOrEqual(5);
    expect([await stateOf(b.identity.id), await stateOf(c.identity.id), core.halted]).toEqual([
      ...['ACTIVE', 'ACTIVE', undefined],
    ]);
    expect(await stateOf(liar.id)).not.toBe('SUSPENDED');
    expect((await core.events('HostStateChanged')).filter(({ proof }) => proof !== undefined)).toEqual([]);
  });

  it('full: it is FULL, and ACTIVE again once there is space', async () => {
    const { liar, core, stateOf } = await setUp('full');
    await core.record(1);
    await core.settles();
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('FULL');
    liar.lie = undefined;
    core.replicator.retry(liar.id);
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('ACTIVE');
  });

  it('too large: it is sent one event after the other, and takes them all', async () => {
    const { liar, core, stateOf } = await setUp('tooLarge');
    await core.record(20);
    const length = await core.settles();
    await expect.poll(async () => (await core.known()).hosts.get(liar.id)?.sequence, WAIT).toBe(length);
    expect(await stateOf(liar.id)).toBe('ACTIVE');
    expect(await core.events('HostStateChanged')).toEqual([]);
  });

  it('that one event is invalid: it is BLOCKED at that event, which is named, and continues when it is tried again', async () => {
    const { liar, core, stateOf } = await setUp('picky');
    await core.record(20);
    const length = await core.settles();
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('BLOCKED');
    expect(await core.events('HostStateChanged')).toMatchObject([
      {
        host: liar.id,
        sequence: 4,
        why: expect.stringMatching(/^It refuses event 5: .*The event is not well-formed\./) as string,
      },
    ]);
    liar.lie = undefined;
    core.replicator.retry(liar.id);
    // The state BLOCKED was recorded as an event, too.
    const held = async () => (await core.known()).hosts.get(liar.id)?.sequence;
    await expect.poll(held, WAIT).toBeGreaterThanOrEqual(length);
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('ACTIVE');
  });

  it('that the origin has another key there: it is BLOCKED until it has this one', async () => {
    const { liar, core, stateOf } = await setUp('pinned');
    await core.record(1);
    await core.settles();
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('BLOCKED');
    liar.lie = undefined;
    core.replicator.retry(liar.id);
    await expect.poll(() => stateOf(liar.id), WAIT).toBe('ACTIVE');
  });

  it('that it has other events, with wrong roots: it is sent everything once it answers honestly', async () => {
    const { liar, core } = await setUp('other');
    await core.record(3);
    const length = await core.settles();
    liar.lie = undefined;
    await expect.poll(async () => (await core.known()).hosts.get(liar.id)?.sequence, WAIT).toBe(length);
  });
});

describe('a server that pretends to be a host', () => {
  it('and does not know OFFGRID_AUTH_KEY is named in no policy: hosts that know it are', async () => {
    const hosts = [await newHost(), await newHost()];
    const fronts = await Promise.all(hosts.map(({ url }) => Front.of(url)));
    let [lies, isHonest] = [0, false];
    for (const front of fronts)
      front.handler = (request, pass) => {
        if (request.path !== '/pubkeys' || isHonest) return pass(request);
        lies += 1;
        const key = Buffer.from(newKeys().verifyKey).toString('base64');
        const body = Buffer.from(JSON.stringify({ ed25519_verify_key: key, protocol: 2 }));
        return Promise.resolve({ status: 200, headers: {}, body });
      };
    const core = await ReplicatingCore.start({ hosts: fronts.map(({ url }) => ({ url, weight: 1 })), required: 2 });
    await expect.poll(() => lies, WAIT).toBeGreaterThan(3);
    expect((await core.known()).policies).toEqual([]);
    expect(core.replicator.failureOf(fronts[0]!.url)).toMatch(/is not host .*OFFGRID_AUTH_KEY/);
    isHonest = true;
    await core.settles();
    const named = (await core.known()).policies.flatMap(({ policy }) => policy.hosts.map(({ host }) => host));
    expect(new Set(named)).toEqual(new Set(hosts.map(({ identity }) => identity.id)));
  });
});

describe('a host that was set aside during a request', () => {
  it.each(['SUSPENDED', 'RETIRED'] as const)('%s: its late answer changes nothing', async (state) => {
    const { liar, core, stateOf } = await setUp();
    await core.settles();
    await core.record(1);
    await core.settles();
    let release: () => void = () => undefined;
    liar.hold = new Promise((resolve) => (release = resolve));
    liar.lie = 'full';
    await core.record(1);
    await expect.poll(() => liar.isHeld, WAIT).toBe(true);
    const data = { origin: ORIGIN, host: liar.id, state, sequence: 0, why: 'An operator.' };
    await appendFact(core.log, { type: 'HostStateChanged', data }, BY);
    await expect.poll(() => stateOf(liar.id), WAIT).toBe(state);
    release();
    await core.record(3);
    await core.settles();
    expect(await stateOf(liar.id)).toBe(state);
    expect(await core.events('HostStateChanged')).toHaveLength(1);
  });
});
