import { encode } from '@ipld/dag-cbor';
import { describe, expect, it } from 'vitest';
import { signMessage } from '../../../../src/infra/crypto/signing.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { digests, evidenceOf, rootOf, send } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, Writer } from '../../../support/offgrid/writer.js';

const EVENTS = `/replica/${ORIGIN}/events`;

async function setUp(chunkThreshold = 1_024) {
  const folder = await newFolder();
  const host = await newHost({ folder, chunkThreshold });
  const client = clientOf(host);
  const writer = new Writer();
  await writer.claim(client);
  const holds = async (events: readonly AddressedEvent[], epoch: number) => {
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: events.length, epoch, root: rootOf(events) });
    expect(digests(await client.events(ORIGIN, 0, 1_000))).toEqual(digests(events));
  };
  return { folder, host, client, writer, holds };
}

describe('a batch', () => {
  it('that leaves something out is refused, with what the host has', async () => {
    const { client, writer, holds } = await setUp();
    await expect(writer.ship(client, writer.events(2, 3))).rejects.toMatchObject({ code: 'GAP', details: { head: 0 } });
    await writer.ship(client, writer.events(1, 3));
    await expect(writer.ship(client, writer.events(5, 6))).rejects.toMatchObject({ code: 'GAP', details: { head: 3 } });
    const [far] = writer.events(2 ** 50, 2 ** 50);
    await expect(writer.ship(client, [far!])).rejects.toMatchObject({ code: 'GAP', details: { head: 3 } });
    await holds(writer.events(1, 3), 1);
  });

  it('that the host has already changes nothing', async () => {
    const { folder, client, writer, host, holds } = await setUp();
    const events = writer.events(1, 6, 'a', 900).concat(writer.events(7, 9, 'a', 3_000));
    await writer.ship(client, events);
    const free = host.freeBytes;
    for (const part of [events, events.slice(0, 2), events.slice(3, 8), events.slice(8)])
      expect(await writer.ship(client, part)).toMatchObject({ sequence: 9, epoch: 1, root: rootOf(events) });
    await holds(events, 1);
    expect(host.freeBytes).toBe(free);
    expect(await evidenceOf(folder)).toEqual([]);
  });

  it('that overlaps adds what is new', async () => {
    const { client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 4));
    await writer.ship(client, writer.events(3, 7));
    await holds(writer.events(1, 7), 1);
  });

  it('has its effect once, however often and in whatever order it arrives', async () => {
    const { client, writer, holds } = await setUp();
    const events = writer.events(1, 30);
    const batches = [events.slice(0, 10), events.slice(10, 20), events.slice(20)];
    const arrivals = [2, 0, 1, 0, 2, 1, 1, 0, 2, 2].map((i) => writer.ship(client, batches[i]!));
    await Promise.allSettled(arrivals);
    for (const batch of batches) await writer.ship(client, batch);
    await holds(events, 1);
  });

  it('that contradicts another of its epoch is a fork; both are kept', async () => {
    const { folder, client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 4));
    const other = [...writer.events(3, 3), ...writer.events(4, 6, 'b')];
    for (let i = 0; i < 2; i += 1)
      await expect(writer.ship(client, other)).rejects.toMatchObject({ code: 'FORKED', details: { sequence: 4 } });
    await holds(writer.events(1, 4), 1);
    expect(await evidenceOf(folder)).toEqual([4, 5, 6].map((sequence) => ({ kind: 'FORK', sequence, epoch: 1 })));
  });

  it('that contradicts what its own epoch was built on is a fork too', async () => {
    const { folder, client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 4));
    const next = writer.next(2);
    await next.claim(client);
    await next.ship(client, writer.events(5, 6));
    await expect(next.ship(client, writer.events(3, 3, 'b'))).rejects.toMatchObject({ code: 'FORKED' });
    await holds(writer.events(1, 6), 2);
    expect(await evidenceOf(folder)).toEqual([{ kind: 'FORK', sequence: 3, epoch: 2 }]);
  });

  it('of a newer epoch is right where it contradicts: the rest is set aside', async () => {
    const { folder, client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 6, 'a', 2_000));
    const next = writer.next(2);
    await next.claim(client);
    const events = [...writer.events(1, 3, 'a', 2_000), ...writer.events(4, 4, 'b', 2_000)];
    expect(await next.ship(client, events.slice(2))).toMatchObject({ sequence: 4, epoch: 2, root: rootOf(events) });
    await holds(events, 2);
    expect(await evidenceOf(folder)).toEqual([4, 5, 6].map((sequence) => ({ kind: 'SET_ASIDE', sequence, epoch: 1 })));
  });

  it('of a newer epoch that ends earlier sets aside what is older beyond it', async () => {
    const { folder, client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 6));
    const next = writer.next(3);
    await next.claim(client);
    await next.ship(client, writer.events(3, 4));
    await holds(writer.events(1, 4), 3);
    expect(await evidenceOf(folder)).toEqual([5, 6].map((sequence) => ({ kind: 'SET_ASIDE', sequence, epoch: 1 })));
    await next.ship(client, writer.events(5, 5));
    await next.ship(client, writer.events(1, 2));
    await holds(writer.events(1, 5), 3);
  });

  it('that was set aside can come again', async () => {
    const { client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 3, 'a', 2_000));
    const next = writer.next(2);
    await next.claim(client);
    await next.ship(client, writer.events(1, 1, 'a', 2_000));
    await next.ship(client, writer.events(2, 3, 'a', 2_000));
    await holds(writer.events(1, 3, 'a', 2_000), 2);
  });

  it('of a lower epoch is fenced, and of one that nobody claimed refused', async () => {
    const { client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 2));
    await writer.next(5).claim(client);
    for (const late of [writer, writer.next(4)])
      await expect(late.ship(client, writer.events(3, 3))).rejects.toMatchObject({
        code: 'FENCED',
        details: { granted: { epoch: 5 } },
      });
    await expect(writer.next(6).ship(client, writer.events(3, 3))).rejects.toMatchObject({ code: 'NOT_CLAIMED' });
    await holds(writer.events(1, 2), 1);
  });

  it('of an origin that nobody claimed is refused', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    await expect(writer.ship(client, writer.events(1, 1))).rejects.toMatchObject({ code: 'NOT_CLAIMED' });
  });

  it('of 500 events is taken, of 501 refused', async () => {
    const { client, writer, holds } = await setUp();
    await expect(writer.ship(client, writer.events(1, 501))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    await writer.ship(client, writer.events(1, 500));
    await holds(writer.events(1, 500), 1);
  });

  it('of large events is in files, and comes back', async () => {
    const { client, writer, holds } = await setUp(0);
    await writer.ship(client, writer.events(1, 20));
    await writer.ship(client, writer.events(21, 23, 'a', 1_000_000));
    expect(await client.head(ORIGIN, 'c')).toMatchObject({
      root: rootOf([...writer.events(1, 20), ...writer.events(21, 23, 'a', 1_000_000)]),
    });
    expect(digests(await client.events(ORIGIN, 20, 10))).toEqual(digests(writer.events(21, 23, 'a', 1_000_000)));
    await writer.next(2).claim(client);
    await writer.next(2).ship(client, writer.events(20, 20));
    await holds(writer.events(1, 20), 2);
  });
});

describe('one who knows the key of the network, but is not the origin,', () => {
  it('cannot add, contradict or set aside', async () => {
    const { folder, client, writer, holds } = await setUp();
    await writer.ship(client, writer.events(1, 3));
    const stranger = new Writer();
    for (const events of [stranger.events(4, 5), stranger.events(2, 3), writer.events(1, 3)])
      await expect(stranger.ship(client, events)).rejects.toMatchObject({ code: 'NOT_SIGNED' });
    await expect(stranger.next(2 ** 40).ship(client, stranger.events(4, 4))).rejects.toMatchObject({
      code: 'NOT_SIGNED',
    });
    await holds(writer.events(1, 3), 1);
    expect(await evidenceOf(folder)).toEqual([]);
  });

  it('cannot change a batch on its way', async () => {
    const { host, writer, holds } = await setUp();
    const events = writer.events(1, 2);
    const plain = events.map(({ etype, ts, sealed }) => ({ etype, ts, sealed }));
    const message = {
      tag: 'batch/v1',
      origin: ORIGIN,
      host: host.identity.id,
      epoch: 1,
      from: 1,
      events: events.map(({ etype, ts, eid }) => [etype, ts, eid]),
    };
    const batch = { epoch: 1, from: 1, events: plain, signature: signMessage(writer.root.signingKey, message) };
    const changed = [
      { ...batch, events: plain.toReversed() },
      { ...batch, events: plain.slice(0, 1) },
      { ...batch, events: plain.map((event) => ({ ...event, etype: 11 })) },
      { ...batch, events: plain.map((event) => ({ ...event, ts: 0 })) },
      { ...batch, events: plain.map((event) => ({ ...event, sealed: event.sealed.map((byte) => byte ^ 1) })) },
      { ...batch, signature: '' },
      { ...batch, signature: Buffer.alloc(64, 7).toString('base64') },
    ];
    for (const forged of changed)
      expect(await send(host, EVENTS, { method: 'POST', body: encode(forged) })).toMatchObject({
        status: 403,
        json: { error: { code: 'NOT_SIGNED' } },
      });
    await holds([], 0);
    expect(await send(host, EVENTS, { method: 'POST', body: encode(batch) })).toMatchObject({ status: 200 });
    await holds(events, 1);
  });

  it('cannot pass a batch for one host off as one for another: it would take back what came since', async () => {
    const { host, client, writer } = await setUp();
    const other = clientOf(await newHost());
    const next = writer.next(2);
    await writer.ship(client, writer.events(1, 5));
    await next.claim(client);
    const body = await next.batch(other, writer.events(1, 2));
    expect(await send(host, EVENTS, { method: 'POST', body })).toMatchObject({ status: 403 });
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 5, epoch: 1 });
  });

  it('cannot pass a batch of one origin off as that of another', async () => {
    const { host, client, writer } = await setUp();
    const body = await writer.batch(client, writer.events(1, 1));
    const { status } = await send(host, '/replica/core-v3/events', { method: 'POST', body });
    expect(status).toBe(409);
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 0 });
  });
});

describe('a host refuses what is no batch,', () => {
  const event = { etype: 1, ts: 1, sealed: Buffer.from('sealed') };
  const batch = { epoch: 1, from: 1, events: [event], signature: 'none' };
  const junk: [string, unknown][] = [
    ['one without events', { ...batch, events: [] }],
    ['one that begins at 0', { ...batch, from: 0 }],
    ['one of epoch 0', { ...batch, epoch: 0 }],
    ['one with an empty event', { ...batch, events: [{ ...event, sealed: new Uint8Array() }] }],
    ['one with too large an event', { ...batch, events: [{ ...event, sealed: new Uint8Array(2 * 1024 * 1024) }] }],
    ['one with text for an event', { ...batch, events: [{ ...event, sealed: 'sealed' }] }],
    ['one with a strange type', { ...batch, events: [{ ...event, etype: 65_536 }] }],
    ['one with a time that is none', { ...batch, events: [{ ...event, ts: 8.65e15 }] }],
    ['one with more in it', { ...batch, root: 'none' }],
    ['a list', [batch]],
    ['null', null],
  ];

  it('each of these', async () => {
    const { host, holds } = await setUp();
    for (const [what, body] of junk) {
      const { status, json } = await send(host, EVENTS, { method: 'POST', body: encode(body) });
      expect({ what, status, json }).toMatchObject({ what, status: 400, json: { error: { code: 'BAD_REQUEST' } } });
    }
    await holds([], 0);
  });
});

describe('a host gives back', () => {
  it('what is asked for, a page at a time', async () => {
    const { host, client, writer } = await setUp();
    const events = [...writer.events(1, 10), ...writer.events(11, 16, 'a', 1_000_000)];
    await writer.ship(client, events.slice(0, 13));
    await writer.ship(client, events.slice(13));
    expect(digests(await client.events(ORIGIN, 3, 4))).toEqual(digests(events.slice(3, 7)));
    expect(await client.events(ORIGIN, 16, 4)).toEqual([]);
    const first = await client.events(ORIGIN, 0, 1_000);
    expect(first.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    for (const query of ['after=-1', 'after=x', 'limit=0', 'after=1.5', 'limit=1e999'])
      expect((await send(host, `${EVENTS}?${query}`)).status, query).toBe(400);
  });

  it('the root at any size', async () => {
    const { client, writer } = await setUp();
    const events = writer.events(1, 9);
    await writer.ship(client, events);
    for (let size = 0; size <= 9; size += 1)
      expect(await client.rootAt(ORIGIN, size)).toBe(rootOf(events.slice(0, size)));
    await expect(client.rootAt(ORIGIN, 10)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('nothing of an origin it does not know', async () => {
    const client = clientOf(await newHost());
    const asking = [
      () => client.events('core-v9', 0, 1),
      () => client.head('core-v9', 'c'),
      () => client.rootAt('core-v9', 0),
    ];
    for (const ask of asking) await expect(ask()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
