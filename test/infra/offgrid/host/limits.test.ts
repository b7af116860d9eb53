import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import type { ReplicaStore } from '../../../../src/infra/offgrid/host/replica-store.js';
import { MAX_AT_ONCE, MAX_WAITING, Replicas } from '../../../../src/infra/offgrid/host/replicas.js';
import { mountSmallDisk } from '../../../support/file-limits.js';
import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';
import { limitCases } from '../../../support/offgrid/conformance/limits.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { Process, Reader, History } from '../../../support/offgrid/by-hand.js';

const full = { code: 'FULL', status: 507, message: expect.stringContaining('Nothing was taken') };

describe('a host that is busy', () => {
  it('lets a limited number of requests of an origin wait, answers BUSY to more, and serves other origins', async () => {
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

limitCases(startHost2);

describe('a disk that is full', () => {
  it('takes nothing and drops nothing, and continues when there is space', async () => {
    const disk = join(await newFolder(), 'disk');
    const unmount = await mountSmallDisk(disk, 6 * 1024 * 1024);
    onTestFinished(async () => {
      await unmount();
    });
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(4 * 1024 * 1024));
    const host = await newHost({ folder: join(disk, 'host') });
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
