import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/infra/clock.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import type { ReplicaStore } from '../../../../src/infra/offgrid/host-2/replica-store.js';
import { MAX_AT_ONCE, MAX_WAITING, Replicas } from '../../../../src/infra/offgrid/host-2/replicas.js';
import { EVENT_BYTES } from '../../../../src/infra/offgrid/host-2/history-rows.js';
import { mountSmallDisk } from '../../../support/file-limits.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { newHost2, Process, Reader, History } from '../../../support/offgrid/host-2.js';

const full = { code: 'FULL', status: 507, message: expect.stringContaining('Nothing was taken') };

const bytesOf = ({ events }: Pick<History, 'events'>) =>
  events.reduce((sum, { sealed }) => sum + sealed.byteLength + EVENT_BYTES, 0);

describe('a host that is busy', () => {
  it('lets so many requests of an origin wait, asks the others to come again, and serves other origins', async () => {
    const store = { load: () => Promise.resolve(undefined) } as unknown as ReplicaStore;
    const identity = { id: '0'.repeat(32), signingKey: RootKey.generate().signingKey };
    const replicas = new Replicas({ store, identity, clock: systemClock, origins: new Map() });
    let [running, most] = [0, 0];
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const work = async () => {
      running += 1;
      most = Math.max(most, running);
      await held;
      running -= 1;
      return 'done';
    };
    const waiting = Array.from({ length: MAX_AT_ONCE + MAX_WAITING }, () => replicas.use('core-v2', work));
    await expect(replicas.use('core-v2', work)).rejects.toMatchObject({
      status: 503,
      refusal: { code: 'BUSY', wait: 1 },
    });
    expect(await replicas.use('core-v3', () => Promise.resolve('served'))).toBe('served');
    expect(replicas.isIdle).toBe(false);
    letGo();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['done']));
    expect(most).toBe(MAX_AT_ONCE);
    expect(replicas.isIdle).toBe(true);
  });
});

describe('the budget of a host', () => {
  it('counts what is known of each event, staged and set aside too, and is never exceeded', async () => {
    const history = History.begin().on(6, { bytes: 2_000 });
    const other = history.on(3, { at: 3, name: 'b', bytes: 2_000 });
    const folder = await newFolder();
    const budgetBytes = bytesOf(history) + bytesOf({ events: other.events.slice(3) });
    const host = await newHost2({ folder, budgetBytes });
    const first = new Process(history.root);
    await first.claim(host);
    await first.ship(host, history);
    const second = new Process(history.root, 2);
    await second.claim(host);
    await second.ship(host, other, 4, 6, { base: 9 });
    expect(host.freeBytes).toBe(0);
    await expect(second.ship(host, other.on(1), 7, 7, { base: 9 })).rejects.toMatchObject(full);
    const reader = new Reader(host, history.root);
    const before = await reader.head();
    expect(before).toMatchObject({ tree: { sequence: 6, epoch: 1 }, staged: { sequence: 6, epoch: 2 } });
    // To switch takes no more room: what is set aside was counted before.
    await second.ship(host, other, 7, 6, { base: 6 });
    expect(host.freeBytes).toBe(0);
    await expect(second.ship(host, other.on(1), 7, 7, { base: 6 })).rejects.toMatchObject(full);
    await host.close();
    const again = await newHost2({ folder, budgetBytes: budgetBytes + 1_000 });
    expect(again.freeBytes).toBe(1_000);
    expect(await second.ship(again, other.on(1), 7, 7, { base: 6 })).toMatchObject({ tree: { sequence: 7 } });
    expect(await new Reader(again, history.root).events('?bytes=4194304')).toEqual(other.on(1).numbered(1, 7));
  });
});

describe('a disk that is full', () => {
  it('takes nothing and drops nothing, and goes on when there is room', async () => {
    const disk = join(await newFolder(), 'disk');
    const unmount = await mountSmallDisk(disk, 6 * 1024 * 1024);
    onTestFinished(async () => {
      await unmount();
    });
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(4 * 1024 * 1024));
    const host = await newHost2({ folder: join(disk, 'host') });
    const history = History.begin().on(60, { bytes: 900 }).on(60, { bytes: 60_000 });
    const process = new Process(history.root);
    await process.claim(host);
    let taken = 0;
    const error: unknown = await (async () => {
      for (; taken < 120; taken += 5) await process.ship(host, history, taken + 1, taken + 5);
    })().catch((reason: unknown) => reason);
    expect(error).toMatchObject(full);
    const reader = new Reader(host, history.root);
    expect(await reader.head()).toMatchObject({ tree: { sequence: taken }, damaged: 0 });
    await rm(filler);
    expect(await process.ship(host, history, taken + 1, taken + 5)).toMatchObject({ tree: { sequence: taken + 5 } });
    const events = [];
    while (events.length < taken + 5) events.push(...(await reader.events(`?after=${events.length}`)));
    expect(events).toEqual(history.numbered(1, taken + 5));
    await host.close();
  });
});
