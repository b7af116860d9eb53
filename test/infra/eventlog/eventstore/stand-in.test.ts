import { setTimeout as delay } from 'node:timers/promises';
import {
  binaryEvent,
  eventTypeFilter,
  jsonEvent,
  streamNameFilter,
  type AppendToStreamOptions,
  type EventStoreDBClient,
  type RecordedEvent,
  type SubscribeToAllOptions,
} from '@eventstore/db-client';
import { describe, expect, it, vi } from 'vitest';
import { certificateFor } from '../../../support/eventstore/certificates.js';
import { connect, newEvent, newEvents, readAll, start, typesOf } from '../../../support/eventstore/set-up.js';
import type { StandInOptions } from '../../../support/eventstore/stand-in.js';
import type { Store } from '../../../support/eventstore/store.js';
import { Watch } from '../../../support/eventstore/watch.js';

/** The longest wait for an expected condition, in milliseconds. */
const PATIENCE = { timeout: 10_000 };

async function setUp(options: StandInOptions = {}) {
  const standIn = await start(options);
  return { standIn, store: standIn.store, client: connect(standIn.url) };
}

/** Fills a stream with events of types e0, e1 and so on. */
function seed(store: Store, stream: string, count: number, dataBytes = 10): void {
  store.seed(Array.from({ length: count }, (_, i) => ({ stream, type: `e${i}`, data: Buffer.alloc(dataBytes) })));
}

/** Subscribes to `$all`, or to some of its streams with checkpoints at an interval of records. */
function subscribe(
  client: EventStoreDBClient,
  options: SubscribeToAllOptions = {},
  filter?: { readonly prefixes: string[]; readonly every: number },
) {
  const watched: { watch?: Watch } = {};
  const subscription = client.subscribeToAll({
    ...options,
    ...(filter !== undefined && {
      filter: streamNameFilter({
        prefixes: filter.prefixes,
        maxSearchWindow: filter.every,
        checkpointReached: async (_subscription, { commit }) => void watched.watch?.seen.push(commit),
      }),
    }),
  });
  watched.watch = new Watch(subscription);
  return { subscription, watch: watched.watch };
}

/** The two calls that append: the client uses the second when it is given credentials. */
const forms: readonly [name: string, options: AppendToStreamOptions][] = [
  ['a batch append', {}],
  ['a single append', { credentials: { username: 'admin', password: 'changeit' } }],
];

describe.each(forms)('%s', (_name, form) => {
  it('reports the expected and the actual revision', async () => {
    const { client } = await setUp();
    await client.appendToStream('s-1', newEvents('a', 'b'), { ...form, expectedRevision: 'no_stream' });
    const refuse = (stream: string, expectedRevision: bigint | 'no_stream' | 'stream_exists', actualVersion: unknown) =>
      expect(client.appendToStream(stream, newEvents('c'), { ...form, expectedRevision })).rejects.toMatchObject({
        type: 'wrong-expected-version',
        streamName: stream,
        expectedVersion: expectedRevision,
        actualVersion,
      });
    await refuse('s-1', 'no_stream', 1n);
    await refuse('s-1', 0n, 1n);
    await refuse('s-1', 7n, 1n);
    await refuse('s-2', 'stream_exists', 'no_stream');
    await refuse('s-2', 0n, 'no_stream');
    const appended = await client.appendToStream('s-1', newEvents('c'), { ...form, expectedRevision: 'stream_exists' });
    expect(appended.nextExpectedRevision).toBe(2n);
  });

  it('is not stored again at its revision: the answer is its last revision and position', async () => {
    const { client, store } = await setUp();
    const [a, b, c] = newEvents('a', 'b', 'c');
    const first = await client.appendToStream('s-1', [a!, b!], { ...form, expectedRevision: 'no_stream' });
    await client.appendToStream('s-1', [c!], { ...form, expectedRevision: 1n });
    store.forgetRecentIds();
    const again = await client.appendToStream('s-1', [a!, b!], { ...form, expectedRevision: 'no_stream' });
    expect(again).toEqual(first);
    expect(again).toMatchObject({ nextExpectedRevision: 1n });
    const later = await client.appendToStream('s-1', [b!, c!], { ...form, expectedRevision: 0n });
    expect(later.nextExpectedRevision).toBe(2n);
    for (const events of [[a!, c!], [b!, a!], [a!, b!, c!, newEvent('d')], newEvents('a', 'b')]) {
      const appending = client.appendToStream('s-1', events, { ...form, expectedRevision: 'no_stream' });
      await expect(appending).rejects.toMatchObject({ type: 'wrong-expected-version', actualVersion: 2n });
    }
    expect(await typesOf(client, 's-1')).toEqual(['a', 'b', 'c']);
  });

  it('is not stored again at any revision as long as its ids are remembered, for each stream', async () => {
    const { client, store } = await setUp();
    const [a, b] = newEvents('a', 'b');
    const first = await client.appendToStream('s-1', [a!, b!], form);
    expect(await client.appendToStream('s-1', [a!, b!], form)).toEqual(first);
    expect(await client.appendToStream('s-1', [a!, b!], { ...form, expectedRevision: 'stream_exists' })).toEqual(first);
    await expect(client.appendToStream('s-1', [b!, newEvent('c')], form)).rejects.toMatchObject({
      expectedVersion: 'any',
    });
    await client.appendToStream('s-2', [a!], form);
    await client.appendToStream('s-2', [a!], form);
    expect(await typesOf(client, 's-2')).toEqual(['a', 'a']);
    store.forgetRecentIds();
    await client.appendToStream('s-1', [a!, b!], form);
    expect(await typesOf(client, 's-1')).toEqual(['a', 'b', 'a', 'b']);
  });

  it('is refused when it is too large', async () => {
    const { client, store } = await setUp({ maxAppendSize: 2_000 });
    const before = store.size;
    const large = binaryEvent({ type: 'large', data: Buffer.alloc(1_991) });
    await expect(client.appendToStream('s-1', large, form)).rejects.toMatchObject({
      type: 'maximum-append-size-exceeded',
      maxAppendSize: 2_000,
    });
    expect(store.size).toBe(before);
    await client.appendToStream('s-1', binaryEvent({ type: 'large', data: Buffer.alloc(1_990) }), form);
  });

  it('is refused after a tombstone', async () => {
    const { client } = await setUp();
    await client.tombstoneStream('s-1', { expectedRevision: 'no_stream' });
    const appending = client.appendToStream('s-1', newEvents('a'), form);
    await expect(appending).rejects.toMatchObject({ type: 'stream-deleted', streamName: 's-1' });
  });

  it('fails as configured, applied or not', async () => {
    const { client, standIn } = await setUp();
    const timeout = form.credentials === undefined ? 'deadline-exceeded' : 'timeout';
    const cases = [
      ['timeout', timeout, false],
      ['timeoutAfter', timeout, true],
      ['unavailable', 'unavailable', false],
      ['dropBefore', 'unavailable', false],
      ['dropAfter', 'unavailable', true],
      ['notReady', form.credentials === undefined ? 'unknown' : 'unavailable', false],
    ] as const;
    for (const [fault, type, isApplied] of cases) {
      standIn.faults.onAppend(fault);
      await expect(client.appendToStream(fault, newEvents('a'), form)).rejects.toMatchObject({ type });
      expect(standIn.store.streams.has(fault), fault).toBe(isApplied);
      await client.appendToStream('s-1', newEvents('a'), form);
    }
  });

  it('names the leader, to which the client then connects', async () => {
    const { client, standIn } = await setUp();
    const other = await start();
    standIn.faults.onAppend('notLeader', 1, { after: 1, leader: other.endpoint });
    await client.appendToStream('s-1', newEvents('a'), form);
    const appending = client.appendToStream('s-2', newEvents('b'), form);
    await expect(appending).rejects.toMatchObject({ type: 'not-leader', leader: { port: other.port } });
    await client.appendToStream('s-2', newEvents('b'), form);
    expect(other.store.streams.has('s-2')).toBe(true);
  });

  it('is answered late, or never', async () => {
    const { client, standIn } = await setUp({ latency: 60 });
    const before = performance.now();
    await client.appendToStream('s-1', newEvents('a'), form);
    expect(performance.now() - before).toBeGreaterThan(55);
    standIn.faults.onAppend('stallAfter');
    const never = client.appendToStream('s-1', newEvents('b'), form);
    await vi.waitFor(async () => expect(await typesOf(client, 's-1')).toEqual(['a', 'b']), PATIENCE);
    await expect(Promise.race([never, delay(120, 'nothing')])).resolves.toBe('nothing');
  });
});

describe('an append in batches', () => {
  it('is assembled from its chunks', async () => {
    const { client, store } = await setUp();
    const types = Array.from({ length: 20 }, (_, i) => `e${i}`);
    const appends = ['s-1', 's-2'].map((stream) =>
      client.appendToStream(stream, newEvents(...types), { batchAppendSize: 200, expectedRevision: 'no_stream' }),
    );
    await Promise.all(appends);
    for (const stream of ['s-1', 's-2']) expect(await typesOf(client, stream)).toEqual(types);
    expect(store.size).toBe(5 + 40);
  });

  it('fails the other appends of its stream when the stream fails', async () => {
    const { client, standIn, store } = await setUp({ latency: 500 });
    const before = store.size;
    standIn.faults.onAppend('unavailable', 1, { after: 1 });
    const appends = ['s-1', 's-2'].map((stream) => client.appendToStream(stream, newEvents('a')));
    const results = await Promise.allSettled(appends);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(store.size).toBe(before + 1);
  });
});

describe('a stream', () => {
  it('is read with the events that were written to it', async () => {
    const { client } = await setUp();
    const json = jsonEvent({ type: 'json', data: { a: 1 }, metadata: { $causationId: 'b' } });
    const binary = binaryEvent({ type: 'binary', data: Buffer.from([0, 255]), metadata: Buffer.from([1]) });
    const before = Date.now();
    const appended = await client.appendToStream('s-ü', [json, binary]);
    const events: (RecordedEvent & { commitPosition?: bigint })[] = [];
    for await (const { event, commitPosition } of client.readStream('s-ü')) {
      if (event !== undefined) events.push({ ...event, ...(commitPosition !== undefined && { commitPosition }) });
    }
    expect(events).toMatchObject([
      {
        streamId: 's-ü',
        revision: 0n,
        id: json.id,
        type: 'json',
        isJson: true,
        data: { a: 1 },
        metadata: { $causationId: 'b' },
      },
      {
        streamId: 's-ü',
        revision: 1n,
        id: binary.id,
        type: 'binary',
        isJson: false,
        position: appended.position,
        commitPosition: appended.position?.commit,
      },
    ]);
    expect(Buffer.from(events[1]!.data as Uint8Array)).toEqual(Buffer.from([0, 255]));
    expect(Buffer.from(events[1]!.metadata as Uint8Array)).toEqual(Buffer.from([1]));
    expect(events[0]!.created.getTime()).toBeGreaterThanOrEqual(before);
    expect(events[0]!.created.getTime()).toBeLessThanOrEqual(Date.now());
  });

  it('is read from and to the given revisions', async () => {
    const { client, store } = await setUp();
    seed(store, 's-1', 100);
    const types = (from: number, to: number) => {
      const step = from <= to ? 1 : -1;
      return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => `e${from + i * step}`);
    };
    expect(await typesOf(client, 's-1')).toEqual(types(0, 99));
    expect(await typesOf(client, 's-1', { fromRevision: 40n, maxCount: 50 })).toEqual(types(40, 89));
    expect(await typesOf(client, 's-1', { fromRevision: 100n })).toEqual([]);
    expect(await typesOf(client, 's-1', { fromRevision: 1_000n })).toEqual([]);
    const direction = 'backwards';
    expect(await typesOf(client, 's-1', { direction, fromRevision: 'end' })).toEqual(types(99, 0));
    expect(await typesOf(client, 's-1', { direction, fromRevision: 60n, maxCount: 33 })).toEqual(types(60, 28));
    expect(await typesOf(client, 's-1', { direction, fromRevision: 1_000n, maxCount: 2 })).toEqual(types(99, 98));
  });

  it('is not found until it is written', async () => {
    const { client } = await setUp();
    await expect(typesOf(client, 's-1')).rejects.toMatchObject({ type: 'stream-not-found', streamName: 's-1' });
  });

  it('hides the events that its metadata excludes, which remain in $all until a scavenge', async () => {
    const { client, store } = await setUp();
    seed(store, 's-1', 10);
    await client.setStreamMetadata('s-1', { truncateBefore: 4 });
    expect(await client.getStreamMetadata('s-1')).toMatchObject({ metadata: { truncateBefore: 4 } });
    expect(await typesOf(client, '$$s-1')).toEqual(['$metadata']);
    expect(await typesOf(client, 's-1', { maxCount: 2 })).toEqual(['e4', 'e5']);
    await client.setStreamMetadata('s-1', { truncateBefore: 4, maxCount: 3 });
    expect(await typesOf(client, '$$s-1')).toEqual(['$metadata']);
    expect(await typesOf(client, 's-1')).toEqual(['e7', 'e8', 'e9']);
    expect(await typesOf(client, 's-1', { direction: 'backwards', fromRevision: 'end' })).toEqual(['e9', 'e8', 'e7']);
    const inAll = async () => (await readAll(client)).filter(({ streamId }) => streamId.endsWith('s-1')).length;
    expect(await inAll()).toBe(12);
    store.scavenge();
    expect(await inAll()).toBe(4);
    expect(await typesOf(client, 's-1')).toEqual(['e7', 'e8', 'e9']);
    await client.appendToStream('s-1', newEvents('e10'), { expectedRevision: 9n });
    await client.setStreamMetadata('s-1', { maxAge: 0 });
    await delay(2);
    expect(await typesOf(client, 's-1')).toEqual([]);
  });

  it('gets a tombstone, whether it existed or not', async () => {
    const { client, store } = await setUp();
    await client.appendToStream('s-1', newEvents('a', 'b'));
    await expect(client.tombstoneStream('s-1', { expectedRevision: 0n })).rejects.toMatchObject({
      type: 'wrong-expected-version',
      expectedVersion: 0n,
      actualVersion: 1n,
    });
    await client.tombstoneStream('s-1', { expectedRevision: 1n });
    await client.tombstoneStream('s-2');
    for (const stream of ['s-1', 's-2', '$$s-1']) {
      await expect(typesOf(client, stream)).rejects.toMatchObject({ type: 'stream-deleted', streamName: stream });
    }
    await expect(client.tombstoneStream('s-1')).rejects.toMatchObject({ type: 'stream-deleted' });
    const tombstones = (await readAll(client)).filter(({ type }) => type === '$streamDeleted');
    expect(tombstones).toMatchObject([
      { streamId: 's-1', revision: 2n ** 63n - 1n },
      { streamId: 's-2', revision: 2n ** 63n - 1n },
    ]);
    store.scavenge();
    const left = (await readAll(client)).filter(({ streamId }) => streamId.startsWith('s-'));
    expect(left.map(({ type }) => type)).toEqual(['$streamDeleted', '$streamDeleted']);
  });

  it('is deleted, and continues when it is written again', async () => {
    const { client } = await setUp();
    await client.appendToStream('s-1', newEvents('a', 'b'));
    await client.deleteStream('s-1');
    await expect(typesOf(client, 's-1')).rejects.toMatchObject({ type: 'stream-not-found' });
    const appended = await client.appendToStream('s-1', newEvents('c'), { expectedRevision: 'no_stream' });
    expect(appended.nextExpectedRevision).toBe(2n);
    expect(await typesOf(client, 's-1')).toEqual(['c']);
  });
});

describe('$all', () => {
  it('has records of the server itself, and positions that rise with gaps', async () => {
    const { client, store } = await setUp({ noise: 7 });
    for (let i = 0; i < 30; i += 1) await client.appendToStream(`s-${i}`, newEvents('a'));
    const events = await readAll(client);
    expect(events.length).toBe(store.size);
    expect(events[0]!.streamId.startsWith('$')).toBe(true);
    expect(events.filter(({ type }) => type === '$statsCollected')).toHaveLength(4);
    const positions = events.map(({ position }) => position.commit);
    expect(positions).toEqual([...positions].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(positions).size).toBe(positions.length);
    expect(events.every(({ position }) => position.commit === position.prepare)).toBe(true);
    expect(positions.every((position) => !store.isWithinRecord(position))).toBe(true);
    expect(store.events.some(({ end }, i) => end !== store.events[i + 1]?.position)).toBe(true);
  });

  it('is read forwards from a position inclusively, and backwards exclusively', async () => {
    const { client, store } = await setUp();
    seed(store, 's-1', 100);
    const { position } = (await readAll(client)).find(({ type }) => type === 'e50')!;
    const types = async (options: Parameters<typeof readAll>[1]) => (await readAll(client, options)).map((e) => e.type);
    expect(await types({ fromPosition: position, maxCount: 2 })).toEqual(['e50', 'e51']);
    expect(await types({ fromPosition: position, maxCount: 49 })).toHaveLength(49);
    expect(await types({ fromPosition: position })).toHaveLength(50);
    const direction = 'backwards';
    expect(await types({ direction, fromPosition: position, maxCount: 2 })).toEqual(['e49', 'e48']);
    expect(await types({ direction, fromPosition: position })).toHaveLength(55);
    expect(await types({ direction, fromPosition: 'end', maxCount: 1 })).toEqual(['e99']);
    expect(await types({ direction, fromPosition: 'start' })).toEqual([]);
    expect(await types({ fromPosition: 'end' })).toEqual([]);
    const beyond = { commit: store.end + 999n, prepare: store.end + 999n };
    expect(await types({ fromPosition: beyond })).toEqual([]);
    expect(await types({ direction, fromPosition: beyond, maxCount: 1 })).toEqual(['e99']);
    const within = { commit: position.commit + 1n, prepare: position.commit + 1n };
    await expect(types({ fromPosition: within })).rejects.toMatchObject({ code: 2 });
    await subscribe(client, { fromPosition: within }).watch.until(({ error }) => error !== undefined);
  });
});

describe('a subscription', () => {
  it('delivers existing events, reports that it has caught up, and continues', async () => {
    const { client, store, standIn } = await setUp();
    seed(store, 's-1', 100);
    const { watch } = subscribe(client);
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    expect(standIn.subscriptions).toBe(1);
    await client.appendToStream('s-2', newEvents('a', 'b'));
    await watch.until(({ seen }) => seen.at(-1) === 'b');
    expect(watch.seen).toEqual([...store.events.slice(0, 105).map(({ type }) => type), 'caughtUp', 'a', 'b']);
  });

  it('begins after a position, or at the end', async () => {
    const { client, store } = await setUp();
    seed(store, 's-1', 50);
    const position = store.events[50]!.position;
    const { watch } = subscribe(client, { fromPosition: { commit: position, prepare: position } });
    const { watch: end } = subscribe(client, { fromPosition: 'end' });
    await Promise.all([watch, end].map((each) => each.until(({ seen }) => seen.includes('caughtUp'))));
    await client.appendToStream('s-2', newEvents('a'));
    await Promise.all([watch, end].map((each) => each.until(({ seen }) => seen.at(-1) === 'a')));
    expect(watch.seen).toEqual(['e46', 'e47', 'e48', 'e49', 'caughtUp', 'a']);
    expect(end.seen).toEqual(['caughtUp', 'a']);
  });

  it('to a stream begins after a revision, waits for the stream, and fails with its tombstone', async () => {
    const { client, store } = await setUp();
    seed(store, 's-1', 40);
    const one = new Watch(client.subscribeToStream('s-1', { fromRevision: 37n }));
    const two = new Watch(client.subscribeToStream('s-2'));
    const three = new Watch(client.subscribeToStream('s-1', { fromRevision: 'end' }));
    const watches = [one, two, three];
    await Promise.all(watches.map((each) => each.until(({ seen }) => seen.includes('caughtUp'))));
    await client.appendToStream('s-1', newEvents('a'));
    await client.appendToStream('s-2', newEvents('b'));
    await client.tombstoneStream('s-1');
    await client.tombstoneStream('s-2');
    await Promise.all(watches.map((each) => each.until(({ error }) => error !== undefined)));
    expect(one.seen).toEqual(['e38', 'e39', 'caughtUp', 'a', '$streamDeleted']);
    expect(two.seen).toEqual(['caughtUp', 'b', '$streamDeleted']);
    expect(three.seen).toEqual(['caughtUp', 'a', '$streamDeleted']);
    expect(one.error).toMatchObject({ type: 'stream-deleted', streamName: 's-1' });
    const late = await new Watch(client.subscribeToStream('s-1')).until(({ error }) => error !== undefined);
    expect(late.seen).toEqual([]);
  });

  it.each([
    ['prefixes of streams', streamNameFilter({ prefixes: ['a-', 'c-'] }), ['a', 'b', 'e', 'f']],
    ['a pattern of streams', streamNameFilter({ regex: '^[ab]-2$' }), ['b', 'd']],
    ['prefixes of types', eventTypeFilter({ prefixes: ['a', 'f'] }), ['a', 'f']],
    ['a pattern of types', eventTypeFilter({ regex: '[cd]' }), ['c', 'd']],
  ])('delivers the events that match a filter by %s', async (_name, filter, expected) => {
    const { client } = await setUp();
    const streams = ['a-1', 'a-2', 'b-1', 'b-2', 'c-1', 'c-2'];
    for (const [i, stream] of streams.entries()) await client.appendToStream(stream, newEvent('abcdef'[i]!));
    const watch = new Watch(client.subscribeToAll({ filter }));
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    const isOurs = (type: string) => /^[a-f]$/.test(type);
    expect(watch.events.filter(isOurs)).toEqual(expected);
  });

  it('with a filter gets checkpoints at the given interval, for existing and new records', async () => {
    const { client, store } = await setUp();
    seed(store, 'others', 95);
    const { watch } = subscribe(client, {}, { prefixes: ['s-'], every: 40 });
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    // A page without a match reports the position where it begins.
    expect(watch.seen).toEqual([0n, store.events[39]!.end, store.events[79]!.end, 'caughtUp'].slice(1));
    seed(store, 'others', 40);
    await watch.until(({ checkpoints }) => checkpoints.includes(store.head));
    seed(store, 'others', 39);
    await client.appendToStream('s-1', newEvents('a'));
    await watch.until(({ seen }) => seen.at(-1) === store.head);
    expect(watch.seen.slice(-2)).toEqual(['a', store.head]);
  });

  it('without a filter gets none', async () => {
    const { client, store, standIn } = await setUp();
    const { watch } = subscribe(client);
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    seed(store, 'others', 100);
    standIn.checkpoint(5n);
    await watch.until(({ events }) => events.at(-1) === 'e99');
    expect(watch.checkpoints).toEqual([]);
  });

  it('of older servers reports less', async () => {
    const seenOf = async (serverVersion: string) => {
      const { client, store } = await setUp({ serverVersion });
      seed(store, 'others', 40);
      await client.appendToStream('s-1', newEvents('a'));
      const { watch } = subscribe(client, {}, { prefixes: ['s-'], every: 100 });
      await watch.until(({ events }) => events.includes('a'));
      await client.appendToStream('s-1', newEvents('b'));
      await watch.until(({ events }) => events.includes('b'));
      return watch.seen.map((item) => (typeof item === 'bigint' ? 'checkpoint' : item));
    };
    expect(await seenOf('24.2.0')).toEqual(['a', 'checkpoint', 'caughtUp', 'b']);
    expect(await seenOf('23.10.0')).toEqual(['a', 'caughtUp', 'b']);
    expect(await seenOf('22.10.5')).toEqual(['a', 'b']);
  });

  it('beyond the end delivers nothing up to that position, from 24.2', async () => {
    const seenOf = async (serverVersion: string) => {
      const { client, store } = await setUp({ serverVersion });
      const beyond = store.end + 500n;
      const { watch } = subscribe(client, { fromPosition: { commit: beyond, prepare: beyond } });
      await watch.until(({ seen }) => seen.includes('caughtUp'));
      for (let i = 0; store.head <= beyond; i += 1) await client.appendToStream('s-1', newEvents(`e${i}`));
      await watch.until(({ events }) => events.length > 0);
      return watch.events[0];
    };
    expect(await seenOf('24.10.0')).not.toBe('e0');
    expect(await seenOf('23.10.0')).toBe('e0');
  });

  it('waits for a client that is slow, and catches up again', async () => {
    const { client, store, standIn } = await setUp();
    seed(store, 's-1', 1_000, 2_000);
    const { subscription, watch } = subscribe(client);
    subscription.pause();
    await vi.waitFor(() => expect(standIn.subscriptions).toBe(1), PATIENCE);
    await delay(50);
    const [outlet] = standIn.outlets;
    expect(outlet!.delivered).toBeLessThan(500);
    subscription.resume();
    await watch.until(({ seen }) => seen.at(-1) === 'caughtUp');
    subscription.pause();
    for (let i = 0; i < 5; i += 1) seed(store, 's-2', 200, 2_000);
    await delay(50);
    expect(outlet!.delivered).toBeLessThan(1_500);
    subscription.resume();
    await watch.until(({ seen }) => seen.filter((item) => item === 'caughtUp').length === 2);
    expect(watch.events).toEqual(store.events.map(({ type }) => type));
  });
});

describe('the server', () => {
  it('breaks connections, and still has the written events', async () => {
    const { client, standIn, store } = await setUp();
    const inner = subscribe(connect(standIn.innerUrl));
    const { watch } = subscribe(client);
    await Promise.all([watch, inner.watch].map((each) => each.until(({ seen }) => seen.includes('caughtUp'))));
    expect(standIn).toMatchObject({ connections: 1, accepted: 1, subscriptions: 2 });
    standIn.drop();
    await watch.until(({ error }) => error !== undefined);
    expect(watch.error).toMatchObject({ type: 'unavailable' });
    await vi.waitFor(() => expect(standIn).toMatchObject({ connections: 0, subscriptions: 1 }), PATIENCE);
    await client.appendToStream('s-1', newEvents('a'));
    await inner.watch.until(({ seen }) => seen.at(-1) === 'a');
    expect(standIn).toMatchObject({ connections: 1, accepted: 2 });
    expect(store.streams.has('s-1')).toBe(true);
  });

  it('is down, and up again at the same port', async () => {
    const { client, standIn } = await setUp();
    await client.appendToStream('s-1', newEvents('a'));
    const { port } = standIn;
    await standIn.refuse();
    await expect(client.appendToStream('s-1', newEvents('b'))).rejects.toThrow();
    await expect(connect(standIn.url).appendToStream('s-1', newEvents('b'))).rejects.toMatchObject({ code: 14 });
    expect(standIn.connections).toBe(0);
    await standIn.accept();
    expect(standIn.port).toBe(port);
    await vi.waitFor(async () => client.appendToStream('s-1', newEvents('c')), PATIENCE);
    expect(await typesOf(client, 's-1')).toEqual(['a', 'c']);
  });

  it('stalls, and then delivers everything', async () => {
    const { client, standIn, store } = await setUp();
    await client.appendToStream('s-1', newEvents('a'));
    standIn.stall();
    // Clients with the same options share a connection.
    const late = connect(`${standIn.url}&keepAliveInterval=20000`);
    const appends = [client, late].map((each, i) => each.appendToStream(`s-${i}`, newEvents('b')));
    await vi.waitFor(() => expect(standIn.connections).toBe(2), PATIENCE);
    await expect(Promise.race([...appends, delay(80, 'nothing')])).resolves.toBe('nothing');
    expect(store.size).toBe(6);
    standIn.unstall();
    await Promise.all(appends);
    expect(store.size).toBe(8);
  });

  it('ends subscriptions cleanly, or fails them', async () => {
    const { client, standIn } = await setUp();
    const other = await start();
    const watches = Array.from({ length: 2 }, () => subscribe(client).watch);
    await Promise.all(watches.map((each) => each.until(({ seen }) => seen.includes('caughtUp'))));
    standIn.endSubscriptions();
    await Promise.all(watches.map((each) => each.until(({ isOver }) => isOver)));
    expect(watches.map(({ error }) => error)).toEqual([undefined, undefined]);
    const { watch } = subscribe(client);
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    standIn.failSubscriptions('notLeader', other.endpoint);
    await watch.until(({ error }) => error !== undefined);
    expect(watch.error).toMatchObject({ type: 'not-leader', leader: { port: other.port } });
    expect(standIn.subscriptions).toBe(0);
  });

  it('fails reads and subscriptions, immediately or after some events', async () => {
    const { client, standIn, store } = await setUp();
    seed(store, 's-1', 10);
    standIn.faults.onRead('unavailable');
    await expect(readAll(client)).rejects.toMatchObject({ type: 'unavailable' });
    standIn.faults.onRead('notLeader', 1, { leader: standIn.endpoint });
    await expect(readAll(client)).rejects.toMatchObject({ type: 'not-leader', leader: { port: standIn.port } });
    standIn.faults.onRead('broken', 1, { events: 3 });
    const read: string[] = [];
    const reading = (async () => {
      for await (const { event } of client.readStream('s-1')) read.push(event?.type ?? '');
    })();
    await expect(reading).rejects.toMatchObject({ type: 'unavailable' });
    expect(['e0', 'e1', 'e2'].slice(0, read.length)).toEqual(read);
    for (const fault of ['unavailable', 'notLeader', 'broken'] as const) {
      standIn.faults.onSubscribe(fault, 1, { leader: standIn.endpoint, events: 7 });
      const { watch } = subscribe(client);
      await watch.until(({ error }) => error !== undefined);
      expect(watch.error).toMatchObject({ type: fault === 'notLeader' ? 'not-leader' : 'unavailable' });
      expect(watch.events.length).toBe(fault === 'broken' ? 7 : 0);
    }
    expect(await readAll(client)).toHaveLength(15);
  });

  it('delivers an event twice', async () => {
    const { client, standIn } = await setUp();
    const { watch } = subscribe(client, { fromPosition: 'end' });
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    standIn.duplicate();
    await client.appendToStream('s-1', newEvents('a', 'b'));
    await watch.until(({ seen }) => seen.at(-1) === 'b');
    expect(watch.events).toEqual(['a', 'a', 'b']);
  });

  it('sends checkpoints anywhere, and all of them beyond the end', async () => {
    const { client, standIn, store } = await setUp();
    standIn.announceCheckpointsBeyondHead(true);
    const { watch } = subscribe(client, {}, { prefixes: ['s-'], every: 10 });
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    expect(watch.checkpoints).toEqual([store.end]);
    expect(store.end).toBeGreaterThan(store.head);
    standIn.checkpoint(123_456_789n);
    await watch.until(({ checkpoints }) => checkpoints.includes(123_456_789n));
  });

  it('loses the last events, and gives their positions to the next ones', async () => {
    const { client, standIn, store } = await setUp();
    const [a, b] = newEvents('a', 'b');
    const first = await client.appendToStream('s-1', [a!]);
    const backup = store.snapshot();
    const lost = await client.appendToStream('s-1', [b!]);
    await client.tombstoneStream('s-2');
    const { watch } = subscribe(client);
    await watch.until(({ seen }) => seen.includes('caughtUp'));
    store.truncateTo(first.position!.commit);
    await watch.until(({ error }) => error !== undefined);
    expect(standIn.connections).toBe(0);
    expect(await typesOf(client, 's-1')).toEqual(['a']);
    const next = await client.appendToStream('s-1', newEvents('c'), { expectedRevision: 0n });
    expect(next).toEqual(lost);
    store.restoreOlder(backup);
    await vi.waitFor(async () => expect(await typesOf(client, 's-1')).toEqual(['a']), PATIENCE);
    await client.appendToStream('s-2', newEvents('d'), { expectedRevision: 'no_stream' });
  });
});

describe('a cluster', () => {
  async function setUpCluster() {
    const leader = await start();
    const follower = await start({ store: leader.store, role: 'follower' });
    return { leader, follower, ports: `127.0.0.1:${leader.port},127.0.0.1:${follower.port}` };
  }

  it('is found by all of its nodes or by one of them, and the leader is preferred', async () => {
    const { leader, follower, ports } = await setUpCluster();
    await connect(`esdb://${ports}?tls=false`).appendToStream('s-1', newEvents('a'));
    await connect(`esdb+discover://127.0.0.1:${follower.port}?tls=false`).appendToStream('s-1', newEvents('b'));
    expect(follower.connections).toBe(0);
    expect(leader.accepted).toBeGreaterThan(0);
    const client = connect(`esdb://${ports}?tls=false&nodePreference=follower`);
    expect(await typesOf(client, 's-1')).toEqual(['a', 'b']);
    await vi.waitFor(() => expect(follower.connections).toBe(1), PATIENCE);
    await client.appendToStream('s-1', newEvents('c'));
    expect(await typesOf(client, 's-1')).toEqual(['a', 'b', 'c']);
  });

  it('sends clients that need the leader to the current leader', async () => {
    const { leader, follower } = await setUpCluster();
    const client = connect(follower.url);
    const refused = { type: 'not-leader', leader: { port: leader.port } };
    const requiresLeader = true;
    await expect(client.appendToStream('s-1', newEvents('a'), { requiresLeader })).rejects.toMatchObject(refused);
    const appended = await client.appendToStream('s-1', newEvents('a'), { requiresLeader });
    expect(appended.nextExpectedRevision).toBe(0n);
    await expect(typesOf(connect(follower.url), 's-1', { requiresLeader })).rejects.toMatchObject(refused);
    [leader.role, follower.role] = ['follower', 'leader'];
    await connect(follower.url).appendToStream('s-1', newEvents('b'), { requiresLeader });
    await follower.refuse();
    await expect(connect(leader.url).appendToStream('s-1', newEvents('c'))).rejects.toMatchObject({
      type: 'deadline-exceeded',
    });
  });
});

describe('access', () => {
  const users = { admin: 'changeit', 'o:ps': 'p@ss:word' };

  it('is over TLS, with a certificate for this host', async () => {
    const standIn = await start({ tls: certificateFor('localhost') });
    await connect(standIn.url).appendToStream('s-1', newEvents('a'));
    const unknown = `esdb://localhost:${standIn.port}?tls=true`;
    await expect(connect(unknown).appendToStream('s-1', newEvents('b'))).rejects.toThrow(/certificate/);
    const elsewhere = await start({ tls: certificateFor('elsewhere') });
    await expect(connect(elsewhere.url).appendToStream('s-1', newEvents('b'))).rejects.toThrow(/altnames/);
  });

  it('requires a user and a password', async () => {
    const standIn = await start({ tls: certificateFor('localhost'), users });
    const client = connect(standIn.url);
    await client.appendToStream('s-1', newEvents('a'));
    const denied = { type: 'access-denied' };
    const wrong = { username: 'admin', password: 'wrong' };
    await expect(client.appendToStream('s-1', newEvents('b'), { credentials: wrong })).rejects.toMatchObject(denied);
    await expect(typesOf(client, 's-1', { credentials: wrong })).rejects.toMatchObject({ ...denied, code: 16 });
    const anonymous = connect(standIn.url.replace(/\/\/.*@/, '//'));
    await expect(anonymous.appendToStream('s-1', newEvents('b'))).rejects.toMatchObject(denied);
    await expect(typesOf(anonymous, 's-1')).rejects.toMatchObject({ ...denied, code: 7 });
    await expect(anonymous.tombstoneStream('s-1')).rejects.toMatchObject(denied);
    const impostor = connect(standIn.url.replace('changeit', 'guess'));
    await expect(impostor.appendToStream('s-1', newEvents('b'))).rejects.toMatchObject(denied);
    expect(await typesOf(client, 's-1')).toEqual(['a']);
  });
});
