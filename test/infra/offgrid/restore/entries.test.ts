import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { encodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import { HostFailure } from '../../../../src/infra/offgrid/protocol/host-client.js';
import type { EntriesQuery, HistoryName } from '../../../../src/infra/offgrid/protocol/queries.js';
import type { Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { EntryCollector, type CollectorDependencies } from '../../../../src/infra/offgrid/restore/entry-collector.js';
import { EntryList } from '../../../../src/infra/offgrid/restore/entry-list.js';
import type { HeardHost } from '../../../../src/infra/offgrid/restore/host-survey.js';
import { History, ORIGIN } from '../../../support/offgrid/by-hand.js';

const entriesOf = (history: History) => history.events.map((event) => encodeEntry(entryOf(event)));
const listOf = (history: History) => new EntryList(Buffer.concat(entriesOf(history)));
const history = History.begin().on(1_000);

describe('a list of entries', () => {
  it('has the root of its first entries, in any order of asking', () => {
    const long = History.begin(history.root).on(9_000);
    const list = listOf(long);
    for (const count of [9_000, 1, 0, 4_096, 4_095, 8_192, 5_000, 4_097, 8_193, 2])
      expect(Buffer.from(list.rootAt(count)!).equals(long.rootAt(count)), String(count)).toBe(true);
    expect(list.rootAt(9_001)).toBeUndefined();
    expect(Buffer.from(list.at(77).eid).equals(entryOf(long.events[76]!).eid)).toBe(true);
  });

  it('knows how much it has in common with another', () => {
    const list = listOf(history);
    expect(list.common(list)).toBe(1_000);
    expect(list.common(listOf(history.on(3)))).toBe(1_000);
    for (const at of [0, 1, 511, 999])
      expect(listOf(history.on(5, { at, name: 'b' })).common(list), String(at)).toBe(at);
    expect(list.common(new EntryList(new Uint8Array()))).toBe(0);
  });
});

interface Shown {
  readonly head?: History;
  readonly staged?: History;
  /** Changes the entries that it gives. */
  readonly give?: (entry: Uint8Array, sequence: number) => Uint8Array;
  readonly roots?: Uint8Array;
  readonly failure?: HostFailure;
  /** How often it fails; by default always. */
  readonly times?: number;
  /** Whether it never answers. */
  readonly isStalled?: boolean;
}

/** A host that shows histories, and what it was asked. */
function host(
  name: string,
  { head, staged, give = (entry) => entry, roots, failure, times = Infinity, isStalled }: Shown,
) {
  const asked: EntriesQuery[] = [];
  const histories = { head, staged };
  const treeOf = (one: History | undefined) =>
    one === undefined ? null : { value: { sequence: one.length, root: one.rootAt(one.length) } };
  const client = {
    roots: (_origin: string, at: number) => {
      const rootOf = (of: HistoryName) => {
        const one = histories[of];
        return one === undefined || one.length < at ? null : (roots ?? one.rootAt(at));
      };
      return Promise.resolve({ head: rootOf('head'), staged: rootOf('staged') });
    },
    entries: (_origin: string, query: EntriesQuery, signal?: AbortSignal) => {
      asked.push(query);
      if (isStalled === true)
        return new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            reject(new HostFailure('UNREACHABLE', 'The request was given up.'));
          });
        });
      if (failure !== undefined && asked.length <= times) return Promise.reject(failure);
      const { of, after, limit } = query;
      const page = entriesOf(histories[of] ?? History.begin()).slice(after, after + limit);
      return Promise.resolve(page.map((entry, i) => give(entry, after + i + 1)));
    },
  };
  const heard = { host: name, url: name, isPinned: true, client, head: { tree: treeOf(head), staged: treeOf(staged) } };
  return { heard: heard as unknown as HeardHost, asked };
}

/** No time passes, and nothing is waited for. */
const time = { now: () => new Date(0), sleep: () => Promise.resolve(), random: () => 0 };

function collectorOf(...hosts: readonly ReturnType<typeof host>[]) {
  return collectorIn(time, hosts);
}

function collectorIn(passing: CollectorDependencies['time'], hosts: readonly ReturnType<typeof host>[]) {
  const troubles: string[] = [];
  const collector = new EntryCollector({
    ...{ origin: ORIGIN, hosts: hosts.map(({ heard }) => heard), time: passing, onProgress: () => undefined },
    onTrouble: ({ host: name }, why) => troubles.push(`${name}: ${why}`),
  });
  const get = (of: History) => collector.listOf({ sequence: of.length, root: of.rootAt(of.length) } as Tree);
  return { get, troubles };
}

const isWhole = (list: EntryList | undefined, of: History) =>
  list !== undefined && Buffer.from(list.rootAt(of.length)!).equals(of.rootAt(of.length));
const zero =
  (...lost: number[]) =>
  (entry: Uint8Array, sequence: number) =>
    lost.includes(sequence) ? new Uint8Array(entry.byteLength) : entry;

describe('the entries of a tree', () => {
  it('are fetched in pages that grow, once, together with those of a shorter tree', async () => {
    const a = host('a', { head: history });
    const { get, troubles } = collectorOf(a);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(a.asked.map(({ after, limit }) => [after, limit])).toEqual([
      [0, 390],
      [390, 610],
    ]);
    const shorter = History.begin(history.root);
    expect(await get({ length: 500, rootAt: () => history.rootAt(500) } as unknown as History)).toBeDefined();
    expect([a.asked.length, shorter.length, troubles]).toEqual([2, 0, []]);
  });

  it('of a staged tree continue from the known ones', async () => {
    const longer = history.on(30);
    const a = host('a', { head: history, staged: longer });
    const { get } = collectorOf(a);
    await get(history);
    expect(isWhole(await get(longer), longer)).toBe(true);
    expect(a.asked.at(-1)).toEqual({ of: 'staged', after: 1_000, limit: 30 });
  });

  it('that a host gives wrong are fetched from another that shows the tree, or has a longer one', async () => {
    const swapped = (entry: Uint8Array, sequence: number) => (sequence === 5 ? entriesOf(history)[7]! : entry);
    const [a, b] = [host('a', { head: history, give: swapped }), host('b', { head: history.on(9) })];
    const { get, troubles } = collectorOf(a, b);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(troubles).toEqual(['a: the entries that it gives do not have the root that the origin has signed']);
  });

  it('are put together when each host has lost different ones', async () => {
    const [a, b, c] = [
      host('a', { head: history, give: zero(3, 500) }),
      host('b', { head: history, give: zero(500, 900) }),
      host('c', { head: history, give: zero(3, 900) }),
    ];
    const { get, troubles } = collectorOf(a, b, c);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(troubles).toEqual([]);
  });

  it('that the only host with a history has lost are fetched from one whose history diverges later', async () => {
    const [a, b] = [
      host('a', { head: history, give: zero(3, 4) }),
      host('b', { head: history.on(2, { at: 500, name: 'b' }) }),
    ];
    const { get } = collectorOf(a, b);
    expect(isWhole(await get(history), history)).toBe(true);
  });

  it('that the only host with a history has lost are put together from several that diverge from it', async () => {
    const parted = (at: number, name: string) => history.on(2, { at, name });
    const { get } = collectorOf(
      host('a', { head: history, give: zero(3, 400) }),
      host('b', { head: parted(2, 'b') }),
      host('c', { head: parted(500, 'c'), give: zero(3) }),
      host('d', { staged: parted(10, 'd') }),
      // It is longer, and different: the entries in their place are not the lost ones.
      host('e', { head: history.on(2_000, { at: 1, name: 'e' }) }),
    );
    expect(isWhole(await get(history), history)).toBe(true);
  });

  it('are fetched although a host fails, or gives wrong roots', async () => {
    const failure = new HostFailure('TIMEOUT', 'It is slow.');
    const longer = history.on(30);
    const a = host('a', { head: history, failure });
    const b = host('b', { head: history, staged: longer, roots: history.rootAt(7) });
    const { get, troubles } = collectorOf(a, b);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(isWhole(await get(longer), longer)).toBe(true);
    expect(troubles[0]).toBe('a: It is slow.');
  });

  it('are fetched from another when a host does not answer, which is then asked last', async () => {
    let now = 0;
    const passing = {
      now: () => new Date(now),
      sleep: async (ms: number) => {
        now += ms;
        await turn();
      },
    };
    const longer = history.on(30);
    const stalled = host('a', { head: longer, isStalled: true });
    const other = host('b', { head: longer, staged: history });
    const { get, troubles } = collectorIn({ ...time, ...passing }, [stalled, other]);
    expect(isWhole(await get(longer), longer)).toBe(true);
    expect(now).toBeGreaterThanOrEqual(5_000);
    expect(now).toBeLessThan(6_000);
    const staged = longer.on(1, { at: 500, name: 'c' });
    const third = host('c', { head: staged });
    const next = collectorIn({ ...time, ...passing }, [stalled, other, third]);
    await next.get(longer);
    const [before, asked] = [now, stalled.asked.length];
    expect(isWhole(await next.get(staged), staged)).toBe(true);
    expect([now - before < 1_000, stalled.asked.length, troubles]).toEqual([true, asked, []]);
  });

  it('of a host that has nothing of the origin any more are not asked for again', async () => {
    const a = host('a', { head: history, failure: new HostFailure('NOT_FOUND', 'There is nothing.') });
    const { get, troubles } = collectorOf(a);
    expect(await get(history)).toBeUndefined();
    expect([a.asked.length, troubles]).toEqual([1, ['a: There is nothing.']]);
  });

  it('of a host that never gave any are not waited for in each list', async () => {
    const failure = new HostFailure('TIMEOUT', 'It is slow.');
    const a = host('a', { head: history, staged: history.on(5), failure });
    const { get } = collectorOf(a);
    expect(await get(history)).toBeUndefined();
    expect(a.asked.length).toBe(8);
    expect(await get(history.on(5))).toBeUndefined();
    expect(a.asked.length).toBe(9);
  });

  it('are fetched from where they stopped, once the host answers again', async () => {
    const failure = new HostFailure('UNREACHABLE', 'It is gone.');
    const a = host('a', { head: history, failure, times: 3 });
    const { get, troubles } = collectorOf(a);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(troubles).toHaveLength(3);
    expect(a.asked.map(({ after }) => after)).toEqual([0, 0, 0, 0, 390]);
  });

  it('are not requested one by one from another host when one host gives none', async () => {
    const all = Array.from({ length: 1_000 }, (_, i) => i + 1);
    const [a, b] = [host('a', { head: history, give: zero(...all) }), host('b', { head: history })];
    const { get } = collectorOf(a, b);
    expect(isWhole(await get(history), history)).toBe(true);
    expect(b.asked).toHaveLength(2);
  });

  it('are undefined when no host gives them', async () => {
    const { get } = collectorOf(
      host('a', { head: history, give: zero(30) }),
      host('b', { head: history.on(0, { at: 10 }) }),
    );
    expect(await get(history)).toBeUndefined();
  });
});
