import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newEvent } from '../../support/events.js';
import { holdBack } from '../../support/hold-back.js';
import { TestNode } from '../../support/node.js';
import { settledCore, statusOf } from '../../support/offgrid/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { quietPort } from '../../support/ports.js';

let node: TestNode;
beforeEach(async () => {
  node = await TestNode.start();
});
afterEach(() => node.stop());

const READY = { status: 200, body: { status: 'ready' } };
const notReady = (...reasons: unknown[]) => ({ status: 503, body: { status: 'not ready', reasons } });

/** Records an event that cannot be folded: a change of a mission that was never created. */
async function breakProjection(): Promise<void> {
  await node.services.log.append('mission-broken', [newEvent()], 'any');
  await expect.poll(async () => (await node.services.missions.status()).state).toBe('HALTED');
}

describe('/livez', () => {
  it('answers as long as the process runs, even if everything else fails', async () => {
    expect(await node.fetch('/livez')).toMatchObject({ status: 200, body: { status: 'ok' } });
    await breakProjection();
    expect(await node.fetch('/livez')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });
});

describe('/readyz', () => {
  it('answers 200 when the node can serve', async () => {
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(READY);
    await node.newMission();
    expect(await node.fetch('/readyz')).toMatchObject(READY);
  });

  it('answers 503 with the reason while a projection is halted', async () => {
    await node.newMission();
    await breakProjection();
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(notReady('missions: HALTED'));
    expect((await node.fetch('/api/status')).body).toMatchObject({
      status: 'degraded',
      projections: [{ state: 'HALTED' }, { state: 'LIVE' }],
    });
    await node.gql('mutation { resumeProjection(name: "missions", skip: true) { __typename } }');
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(READY);
    expect((await node.fetch('/api/status')).body).toMatchObject({ status: 'ok' });
  });

  it('answers 503 while a projection has been behind for more than ten seconds', async () => {
    // A projection that reaches the end of the log for the first time meanwhile would not have been behind for this long.
    const states = async () => (await node.fetch('/api/status')).body.projections;
    await expect.poll(states).toMatchObject([{ state: 'LIVE' }, { state: 'LIVE' }]);
    const head = vi.spyOn(node.services.log, 'head');
    const clock = vi.spyOn(performance, 'now');
    const now = performance.now();
    head.mockResolvedValue(10_000n);
    clock.mockReturnValue(now);
    expect(await node.fetch('/readyz')).toMatchObject(READY);
    // One that was behind for a moment, just before the clock stood still, has been behind for a little longer.
    clock.mockReturnValue(now + 9_000);
    expect(await node.fetch('/readyz')).toMatchObject(READY);
    clock.mockReturnValue(now + 11_000);
    await expect
      .poll(() => node.fetch('/readyz'))
      .toMatchObject(notReady('missions: behind for 11 s', 'outbox: behind for 11 s'));
    clock.mockRestore();
    head.mockRestore();
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(READY);
  });

  it('answers in time what was known while the log does not, and that the log is silent after five seconds', async () => {
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(READY);
    let answer: (head: bigint) => void = () => undefined;
    const answered = new Promise<bigint>((resolve) => (answer = resolve));
    const head = vi.spyOn(node.services.log, 'head').mockReturnValue(answered);
    const timed = async () => {
      const startedAt = performance.now();
      const [ready, live] = await Promise.all([node.fetch('/readyz'), node.fetch('/livez')]);
      expect(live).toMatchObject({ status: 200 });
      expect(performance.now() - startedAt).toBeLessThan(1_250);
      return ready;
    };
    expect(await timed()).toMatchObject(READY);
    await expect.poll(timed, { timeout: 30_000 }).toMatchObject(notReady('log: LOG_UNAVAILABLE'));
    head.mockRestore();
    answer(0n);
    await expect.poll(timed).toMatchObject(READY);
  });

  it('answers 503 until every projection has reached the end of the log once', async () => {
    await node.newMission();
    const behind = vi.spyOn(node.services.missions, 'behindMs');
    behind.mockResolvedValue(Number.POSITIVE_INFINITY);
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(notReady('missions: LIVE'));
  });

  it('answers 503 while a projection cannot write its file, although it keeps retrying', async () => {
    const release = await holdBack(node);
    await node.mutate('createMission', { title: 'Unseen' }, { consistency: 'APPENDED' });
    await expect
      .poll(() => node.fetch('/readyz'))
      .toMatchObject(notReady(expect.stringMatching(/^missions: [A-Z_]+, with an error$/)));
    await release();
    await expect.poll(() => node.fetch('/readyz'), { timeout: 15_000 }).toMatchObject(READY);
  });

  it('answers 503 when the log cannot be read, and shows only the code', async () => {
    await node.services.log.close();
    await expect.poll(() => node.fetch('/readyz')).toMatchObject(notReady('log: LOG_CLOSED'));
  });
});

describe('a core that is not elected', () => {
  it('is noted by /readyz, but is ready; once it is elected, the note disappears', async () => {
    const WAIT = { timeout: 120_000, interval: 50 };
    const folder = await newFolder();
    const [up, down] = [await newHost(), await newHost({ folder, port: await quietPort() })];
    const core = await settledCore([up, down]);
    await expect.poll(async () => (await core.fetch('/readyz')).body).toEqual({ status: 'ready' });
    await core.halt();
    await down.close();
    await core.restart();
    await expect
      .poll(() => core.fetch('/readyz'), WAIT)
      .toMatchObject({ status: 200, body: { status: 'ready', notes: ['replication: not elected'] } });
    // The core takes commands meanwhile.
    await core.newMission();
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ stopped: null, pending: 1 });
    await newHost({ folder, port: Number(new URL(down.url).port) });
    await expect.poll(async () => (await core.fetch('/readyz')).body, WAIT).toEqual({ status: 'ready' });
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ pending: 0, quorumSequence: 3 });
  });
});

describe('a log that cannot be read', () => {
  it('is a 503 with its code and a retry-after in every API, and its path is never shown', async () => {
    await node.services.log.close();
    const events = await node.ask('{ events { edges { cursor } } }');
    const mission = await node.fetch('/api/missions', { method: 'POST', body: '{"title":"T"}' });
    for (const { body, text } of [events, mission]) {
      expect(body.errors).toMatchObject([{ extensions: { code: 'LOG_CLOSED' } }]);
      expect(text).not.toContain(node.folder);
    }
    expect(mission.status).toBe(503);
    expect(mission.headers.get('retry-after')).toBe('1');
    expect(node.logged.join('')).toContain('LOG_CLOSED');
  });
});
