import { describe, expect, it } from 'vitest';
import { addressOf } from '../../../../src/infra/crypto/envelope.js';
import type { HostClient } from '../../../../src/infra/offgrid/protocol/host-client.js';
import type { GoodHead } from '../../../../src/infra/offgrid/protocol/verify-head.js';
import { HostCare } from '../../../../src/infra/offgrid/replication/host-care.js';
import type { LocalHistory } from '../../../../src/infra/offgrid/replication/local-history.js';
import type { Time } from '../../../../src/infra/platform/clock.js';
import { overBrokenLink } from '../../../support/offgrid/broken-link.js';
import { History, ORIGIN, Reader } from '../../../support/offgrid/by-hand.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { ReplicatingCore, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { quiet } from '../../../support/quiet.js';

describe('what is damaged at a host', () => {
  it('does not count before it is mended, which the core does', async () => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    let mayMend = false;
    const between = (client: HostClient) => overBrokenLink(client, (name) => name === 'mend' && !mayMend);
    const core = await ReplicatingCore.start({ hosts: wanted(host), between });
    await core.record(10);
    const length = await core.settles();
    const rot = 'UPDATE events SET sealed = zeroblob(length(sealed)) WHERE sequence IN (3, 7)';
    await inHostFile(folder, rot, 'write');
    const reader = new Reader(host, core.root);
    await reader.events();
    expect((await reader.head()).damaged).toBe(2);
    mayMend = true;
    await core.record(1);
    await expect.poll(async () => (await reader.head()).damaged, WAIT).toBe(0);
    expect((await reader.events()).filter(({ sealed }) => sealed === null)).toEqual([]);
    expect(await core.settles()).toBe(length + 1);
  });

  it('is left for a minute at a time while the host is not served, and mended once it is', async () => {
    const ending = new AbortController();
    let [now, sleeps, asked, isServed] = [0, 0, 0, false];
    const time: Time = {
      now: () => new Date(now),
      sleep: (ms) => {
        [now, sleeps] = [now + ms, sleeps + 1];
        if (now > 600_000) isServed = true;
        if (now > 700_000 || sleeps > 1_000) ending.abort();
        return Promise.resolve();
      },
      turn: () => Promise.resolve(),
      random: () => 0,
    };
    const damaged = () => {
      asked += 1;
      return Promise.resolve({ sequences: [] });
    };
    const care = new HostCare({ damaged } as unknown as HostClient, {
      ...{ origin: ORIGIN, host: 'h', time, isServed: () => isServed, logger: quiet },
      envelopes: { take: () => Promise.resolve([]) },
      history: { has: () => Promise.resolve(true) } as unknown as LocalHistory,
      state: () => ({ holes: new Set() }),
    });
    care.seen({ damaged: 2, tree: { value: { sequence: 50, root: new Uint8Array(32) } } } as unknown as GoodHead);
    await care.run(ending.signal);
    expect(sleeps).toBeLessThan(20);
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(3);
  });
});

describe('an audit', () => {
  const HOUR_MS = 3_600_000;
  const history = History.begin().on(50);

  /** An hour, or more, with a host that returns what the test gives it. */
  async function hours(count: number, give: (sequence: number) => Uint8Array | null) {
    const asked: number[] = [];
    const mended: number[] = [];
    const ending = new AbortController();
    let now = 0;
    const time: Time = {
      now: () => new Date(now),
      sleep: (ms, signal) => {
        if (signal.aborted) return Promise.resolve();
        now += ms;
        if (now >= count * HOUR_MS) ending.abort();
        return Promise.resolve();
      },
      turn: () => Promise.resolve(),
      random: () => (asked.length * 0.37) % 1,
    };
    const client = {
      events: (_origin: string, { after }: { after: number }) => {
        asked.push(after + 1);
        const { ts, etype } = history.events[after]!;
        return Promise.resolve([{ ts, etype, sequence: after + 1, sealed: give(after + 1) }]);
      },
      mend: (_origin: string, events: readonly { sequence: number }[]) => {
        mended.push(...events.map(({ sequence }) => sequence));
        return Promise.resolve(events.length);
      },
    } as unknown as HostClient;
    const envelopes = {
      take: (after: number) => {
        const event = history.events[after]!;
        return Promise.resolve([{ ...event, sequence: after + 1, eid: addressOf(event.sealed) }]);
      },
    };
    const known = { has: () => Promise.resolve(true) } as unknown as LocalHistory;
    const care = new HostCare(client, {
      ...{ origin: ORIGIN, host: 'h', envelopes, history: known, time, isServed: () => true, logger: quiet },
      state: () => ({ holes: new Set() }),
    });
    care.seen({ damaged: 0, tree: { value: { sequence: 50, root: history.rootAt(50) } } } as unknown as GoodHead);
    await care.run(ending.signal);
    return { asked, mended, failed: care.failedAudits };
  }

  it('asks for four events an hour, anywhere in the history, and accepts what it is given', async () => {
    const { asked, mended, failed } = await hours(5, (sequence) => history.events[sequence - 1]!.sealed);
    expect(asked.length).toBe(19);
    expect(new Set(asked).size).toBeGreaterThan(15);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...asked)).toBeLessThanOrEqual(50);
    expect([mended, failed]).toEqual([[], 0]);
  });

  it.each([
    ['another event', (sequence: number) => history.events[sequence % 50]!.sealed],
    ['none', () => null],
  ])('that is given %s counts it, and sends the event again', async (_what, give) => {
    const { asked, mended, failed } = await hours(1, give);
    expect(asked.length).toBe(3);
    expect([mended, failed]).toEqual([asked, 3]);
  });
});
