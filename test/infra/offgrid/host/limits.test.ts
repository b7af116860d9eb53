import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HostError } from '../../../../src/infra/offgrid/replicator/host-port.js';
import { encodeBatch, type AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { signClaim } from '../../../../src/infra/offgrid/wire/claim.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { mountSmallDisk } from '../../../support/file-limits.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { digests, evidenceOf, rootOf, send } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, to, Writer } from '../../../support/offgrid/writer.js';

const MIB = 1024 * 1024;

/** Keeps a host from writing until it is let. */
async function holdUp(folder: string): Promise<() => Promise<void>> {
  const connection = await Connection.open(join(folder, 'host.db'), 'write');
  await connection.run('BEGIN IMMEDIATE');
  return () => connection.close();
}

describe('a host that is busy', () => {
  it('takes 64 requests, and asks the others to come again', async () => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    const client = clientOf(host);
    const writer = new Writer();
    await writer.claim(client);
    const events = writer.events(1, 3);
    const letGo = await holdUp(folder);
    const waiting = new Set<Promise<unknown>>();
    const refused: HostError[] = [];
    for (let i = 0; i < 70; i += 1) {
      const request = writer.ship(client, events).catch((error: unknown) => {
        if (!(error instanceof HostError)) throw error;
        refused.push(error);
      });
      waiting.add(request);
    }
    await expect.poll(() => refused.length, { timeout: 20_000 }).toBe(6);
    for (const { code, retryAfterMs } of refused)
      expect({ code, retryAfterMs }).toEqual({ code: 'BUSY', retryAfterMs: 1_000 });
    const raw = await send(host, `/replica/${ORIGIN}/head`);
    expect(raw.status).toBe(503);
    expect(raw.headers.get('retry-after')).toBe('1');
    expect((await fetch(`${host.url}/status`)).status).toBe(200);
    await letGo();
    await Promise.all(waiting);
    expect(await writer.ship(client, events)).toMatchObject({ sequence: 3, root: rootOf(events) });
  });
});

describe('a body', () => {
  it('of more than 8 MiB is refused, and nothing of it is taken', async () => {
    const host = await newHost();
    const client = clientOf(host);
    const writer = new Writer();
    await writer.claim(client);
    await expect(writer.ship(client, writer.events(1, 9, 'a', MIB - 1_000))).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 0 });
    await writer.ship(client, writer.events(1, 7, 'a', MIB - 1_000));
  });

  it('that never says how long it is, too', async () => {
    const host = await newHost();
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += MIB;
        if (sent > 32 * MIB) controller.close();
        else controller.enqueue(new Uint8Array(MIB));
      },
    });
    const options = { method: 'POST', body, duplex: 'half' } as const;
    const status = await fetch(`${host.url}/replica/${ORIGIN}/events`, options).then(
      (answer) => answer.status,
      () => 'reset',
    );
    expect([413, 'reset']).toContain(status);
    expect(sent).toBeLessThan(32 * MIB);
    expect((await fetch(`${host.url}/status`)).status).toBe(200);
  });
});

describe('the budget of a host', () => {
  const bytesOf = (events: readonly AddressedEvent[]) => events.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);

  it('is what it takes: a batch that is beyond it is refused as a whole', async () => {
    const writer = new Writer();
    const events = [...writer.events(1, 4), ...writer.events(5, 6, 'a', 5_000)];
    const folder = await newFolder();
    const budgetBytes = bytesOf(events);
    const host = await newHost({ folder, budgetBytes });
    const client = clientOf(host);
    await writer.claim(client);
    await writer.ship(client, events.slice(0, 3));
    const full = { code: 'FULL', message: expect.stringContaining('Nothing was taken') };
    await expect(writer.ship(client, [...events.slice(3), ...writer.events(7, 7)])).rejects.toMatchObject(full);
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 3, root: rootOf(events.slice(0, 3)) });
    await writer.ship(client, events.slice(3));
    expect(host.freeBytes).toBe(0);
    await expect(writer.ship(client, writer.events(7, 7))).rejects.toMatchObject(full);
    await host.close();
    const again = await newHost({ folder, budgetBytes });
    await expect(writer.ship(clientOf(again), writer.events(7, 7))).rejects.toMatchObject(full);
    expect(await writer.ship(clientOf(again), events)).toMatchObject({ sequence: 6, root: rootOf(events) });
    expect(digests(await clientOf(again).events(ORIGIN, 0, 10))).toEqual(digests(events));
  });

  it('holds for all origins together, also when they come at once', async () => {
    const writer = new Writer();
    const events = writer.events(1, 4, 'a', 900);
    const folder = await newFolder();
    const host = await newHost({ folder, budgetBytes: bytesOf(events) + 100 });
    const client = clientOf(host);
    const origins = [ORIGIN, 'core-v3'];
    for (const origin of origins) {
      const claim = { ...writer.grant, challenge: 'challenge-challenge' };
      await client.claim(origin, signClaim(writer.root, await to(client, origin), claim));
    }
    const letGo = await holdUp(folder);
    const shipping = Promise.allSettled(
      origins.map(async (origin) =>
        client.ship(origin, encodeBatch(writer.root.signingKey, await to(client, origin), 1, events)),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await letGo();
    const outcomes = (await shipping).map(({ status }) => status);
    expect(outcomes.sort()).toEqual(['fulfilled', 'rejected']);
    expect(host.freeBytes).toBe(100);
  });

  it('counts evidence: a fork that does not fit is a fork all the same', async () => {
    const writer = new Writer();
    const events = writer.events(1, 3, 'a', 900);
    const folder = await newFolder();
    const host = await newHost({ folder, budgetBytes: bytesOf(events) + bytesOf(events.slice(0, 1)) });
    const client = clientOf(host);
    await writer.claim(client);
    await writer.ship(client, events);
    const forked = { code: 'FORKED', message: expect.stringContaining('Both are kept') };
    await expect(writer.ship(client, writer.events(3, 3, 'b', 900))).rejects.toMatchObject(forked);
    expect(host.freeBytes).toBe(0);
    const lost = { code: 'FORKED', message: expect.stringContaining('no room') };
    await expect(writer.ship(client, writer.events(2, 3, 'c', 900))).rejects.toMatchObject(lost);
    expect(await evidenceOf(folder)).toEqual([{ kind: 'FORK', sequence: 3, epoch: 1 }]);
    await writer.next(2).claim(client);
    await expect(writer.next(2).ship(client, writer.events(2, 2, 'd', 900))).rejects.toMatchObject({ code: 'FULL' });
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 3, epoch: 1, root: rootOf(events) });
    await writer.next(2).ship(client, events);
  });
});

describe('a host whose disk is full', () => {
  it.each([
    { what: 'rows', bytes: 800 },
    { what: 'files', bytes: 20_000 },
  ])('refuses $what, keeps what it signed for, and goes on when there is space', async ({ bytes }) => {
    const disk = join(await newFolder(), 'disk');
    const unmount = await mountSmallDisk(disk, 6 * MIB);
    onTestFinished(async () => {
      await unmount();
    });
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(4 * MIB));
    const host = await newHost({ folder: join(disk, 'host') });
    const client = clientOf(host);
    const writer = new Writer();
    await writer.claim(client);
    const events: AddressedEvent[] = [];
    let refused: unknown;
    const size = Math.ceil(100_000 / bytes);
    for (let i = 0; i < 200 && refused === undefined; i += 1) {
      const batch = writer.events(events.length + 1, events.length + size, 'a', bytes);
      await writer.ship(client, batch).then(
        () => events.push(...batch),
        (error: unknown) => (refused = error),
      );
    }
    expect(refused).toMatchObject({ code: 'FULL', message: expect.stringContaining('disk of this host is full') });
    expect(events.length).toBeGreaterThan(size);
    const head = { sequence: events.length, epoch: 1, root: rootOf(events) };
    expect(await client.head(ORIGIN, 'c')).toMatchObject(head);
    const next = writer.events(events.length + 1, events.length + size, 'a', bytes);
    await expect(writer.ship(client, next)).rejects.toMatchObject({ code: 'FULL' });
    expect(digests(await client.events(ORIGIN, events.length - 5, 100))).toEqual(digests(events.slice(-5)));

    await rm(filler);
    expect(await writer.ship(client, next)).toMatchObject({
      sequence: events.length + size,
      root: rootOf([...events, ...next]),
    });
    await host.close();
    const again = await newHost({ folder: join(disk, 'host') });
    expect(await clientOf(again).head(ORIGIN, 'c')).toMatchObject({ root: rootOf([...events, ...next]) });
    await again.close();
  });
});
