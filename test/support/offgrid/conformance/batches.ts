import { encode } from '@ipld/dag-cbor';
import { describe, expect, it } from 'vitest';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { encodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import { pairOf } from '../../../../src/infra/offgrid/protocol/signed.js';
import { claimIn, Process, Reader, History, ORIGIN, send, treeIn, type Refused } from '../by-hand.js';
import type { StartHost } from './conforming-host.js';

async function setUp(start: StartHost) {
  const host = await start();
  const begun = History.begin();
  const first = new Process(begun.root);
  await first.claim(host);
  const reader = new Reader(host, begun.root);
  const next = async (epoch: number, writer?: string) => {
    const process = new Process(begun.root, epoch, writer);
    await process.claim(host);
    return process;
  };
  /** Checks that head, staged tree and the events of both are those of the given histories. */
  const holds = async (head: History | null, staged: History | null = null) => {
    const answer = await reader.head();
    for (const [of, history, tree] of [
      ['head', head, answer.tree],
      ['staged', staged, answer.staged],
    ] as const) {
      expect(tree?.sequence ?? 0, of).toBe(history?.length ?? 0);
      if (history === null) continue;
      expect(tree?.root, of).toEqual(history.rootAt(history.length));
      const events = await reader.events(`?of=${of}&bytes=4194304`);
      expect(events, of).toEqual(history.numbered(1, history.length));
      for (const at of [0, 1, history.length >> 1, history.length])
        expect((await reader.roots(at))[of], `${of} at ${at}`).toEqual(history.rootAt(at));
    }
  };
  return { host, begun, first, next, reader, holds };
}

const refusedWith = (code: string) => expect.objectContaining({ code });
/** The cases for batches. */
export function batchCases(start: StartHost): void {
  describe('a batch', () => {
    it('continues from the head, at any length', async () => {
      const { host, begun, first, holds, reader } = await setUp(start);
      const history = begun.on(12, { bytes: 900 }).on(3, { bytes: 3_000 });
      expect(await first.ship(host, history, 1, 1)).toMatchObject({ tree: { sequence: 1 }, staged: null, damaged: 0 });
      await first.ship(host, history, 2, 9);
      await first.ship(host, history, 10, 15);
      await holds(history);
      expect(await reader.head()).toMatchObject({ claim: { epoch: 1, writer: first.writer }, origin: 'core-v2' });
    });

    it('that was received before changes nothing', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(9, { bytes: 3_000 });
      await first.ship(host, history);
      const used = await host.usedBytes();
      for (const [from, to] of [
        [1, 9],
        [3, 9],
        [1, 4],
        [2, 2],
        [10, 9],
      ] as const)
        expect(await first.ship(host, history, from, to)).toMatchObject({ tree: { sequence: 9 } });
      await holds(history);
      expect(await host.usedBytes()).toBe(used);
      expect(await host.evidence()).toEqual([]);
    });

    it('that overlaps adds what is new', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(7);
      await first.ship(host, history, 1, 4);
      await first.ship(host, history, 3, 7);
      await holds(history);
      expect(await host.evidence()).toEqual([]);
    });

    it('of no events renews the tree: at equal length, for a higher quorum only', async () => {
      const { host, begun, first, reader } = await setUp(start);
      const history = begun.on(4);
      await first.ship(host, history, 1, 4, { quorum: 2 });
      await first.ship(host, history, 5, 4, { quorum: 4, ts: 7 });
      expect((await reader.head()).tree).toMatchObject({ quorum: 4, ts: 7 });
      await first.ship(host, history, 5, 4, { quorum: 3, ts: 8 });
      await first.ship(host, history, 5, 4, { quorum: 4, ts: 9 });
      expect((await reader.head()).tree).toMatchObject({ quorum: 4, ts: 7 });
    });

    it('of no events puts a complete host under a new epoch', async () => {
      const { host, begun, first, next, reader, holds } = await setUp(start);
      const history = begun.on(4);
      await first.ship(host, history);
      const second = await next(2);
      await second.ship(host, history, 5, 4, { base: 4 });
      expect((await reader.head()).tree).toMatchObject({ epoch: 2, writer: second.writer });
      await holds(history);
    });

    it('that leaves a gap is refused, with the length of the longer history', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(9);
      const gap = (sequence: number) => ({ refusal: { code: 'GAP', sequence }, status: 409 });
      await expect(first.ship(host, history, 2, 3)).rejects.toMatchObject(gap(0));
      await first.ship(host, history, 1, 3);
      await expect(first.ship(host, history, 5, 6)).rejects.toMatchObject(gap(3));
      const second = await next(2);
      await second.ship(host, history, 4, 7, { base: 9 });
      await expect(second.ship(host, history, 9, 9)).rejects.toMatchObject(gap(7));
      await holds(prefix(history, 3), prefix(history, 7));
    });

    it('of another history is OTHER, and so is one whose type, time or content was changed in transit', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(4);
      await first.ship(host, history);
      const other = history.on(3, { at: 3, name: 'b' });
      await expect(first.ship(host, other, 5, 6)).rejects.toEqual(refusedWith('OTHER'));
      const longer = history.on(2);
      const tree = first.tree(longer);
      for (const changed of [{ etype: 11 }, { ts: 1 }, { sealed: new Uint8Array(121) }]) {
        const events = longer.events.map((event, i) => (i === 4 ? { ...event, ...changed } : event));
        await expect(first.shipTree(host, tree, { events }, 5, 6)).rejects.toEqual(refusedWith('OTHER'));
      }
      await holds(history);
      await first.shipTree(host, tree, longer, 5, 6);
      await holds(longer);
    });

    it('whose tree is not the origin’s, or has another sequence, is refused', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(2);
      const impostor = new Process(History.begin().root);
      await expect(first.shipTree(host, impostor.tree(history), history, 1, 2)).rejects.toEqual(
        refusedWith('NOT_SIGNED'),
      );
      await expect(first.ship(host, history, 1, 2, { origin: 'other' })).rejects.toEqual(refusedWith('NOT_SIGNED'));
      await expect(first.shipTree(host, first.tree(history), history, 1, 1)).rejects.toEqual(
        refusedWith('BAD_REQUEST'),
      );
      await holds(null);
    });

    it('needs a claim of its epoch and writer', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(2);
      const second = new Process(begun.root, 2);
      await expect(second.ship(host, history)).rejects.toEqual(refusedWith('NOT_CLAIMED'));
      await expect(new Process(begun.root, 1, 'abcdef:another-writer').ship(host, history)).rejects.toEqual(
        refusedWith('NOT_CLAIMED'),
      );
      await next(2);
      const fenced: unknown = await first.ship(host, history).catch((error: unknown) => error);
      expect(fenced).toMatchObject({ code: 'FENCED', status: 403 });
      expect(claimIn((fenced as Refused).refusal, first.key)).toMatchObject({ epoch: 2, writer: second.writer });
      await second.ship(host, history);
      await holds(history);
    });

    it('takes effect once, however often and in any order it arrives', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(30);
      const arrivals = [2, 0, 1, 0, 2, 1, 1, 0, 2, 2].map((i) => first.ship(host, history, i * 10 + 1, i * 10 + 10));
      await Promise.allSettled(arrivals);
      for (const i of [0, 1, 2]) await first.ship(host, history, i * 10 + 1, i * 10 + 10);
      await holds(history);
    });
  });

  describe('an event of a batch without its content', () => {
    const without = (history: History, ...sequences: readonly number[]) => ({
      events: history.events.map((event, i) =>
        sequences.includes(i + 1) ? { ...entryOf(event), sealed: null } : event,
      ),
    });

    it('is damaged from the beginning, has its entry, and is intact once it is mended', async () => {
      const { host, begun, first, reader, holds } = await setUp(start);
      const history = begun.on(8);
      const used = await host.usedBytes();
      const tree = first.tree(history, 6);
      const head = await first.shipTree(host, tree, without(history, 3, 6), 1, 6);
      expect(head).toMatchObject({ tree: { sequence: 6 }, damaged: 2 });
      const sizes = history.events.slice(0, 6).map(({ sealed }, i) => (i === 2 || i === 5 ? 0 : sealed.byteLength));
      expect((await host.usedBytes()) - used).toBe(6 * 256 + sizes.reduce((a, b) => a + b));
      await first.ship(host, history, 7, 8);
      await host.restart();
      expect(await reader.damaged()).toEqual([3, 6]);
      const expected = history.numbered(1, 8).map((event) => {
        return event.sequence === 3 || event.sequence === 6 ? { ...event, sealed: null } : event;
      });
      expect(await reader.events('?bytes=4194304')).toEqual(expected);
      expect(await reader.entries()).toEqual(
        history.events.map((event) => new Uint8Array(encodeEntry(entryOf(event)))),
      );
      expect((await reader.roots(8)).head).toEqual(history.rootAt(8));
      expect(await reader.mend(history.numbered(3, 3))).toBe(1);
      expect(await reader.damaged()).toEqual([6]);
      expect(await reader.mend(history.numbered(6, 6))).toBe(1);
      await holds(history);
    });

    it('is also damaged when it was staged first', async () => {
      const { host, begun, first, reader } = await setUp(start);
      const history = begun.on(5);
      const { events } = without(history, 2);
      await first.shipTree(host, first.tree(history, 4, { base: NOT_ELECTED }), { events }, 1, 4);
      expect(await reader.head()).toMatchObject({ tree: null, staged: { sequence: 4 }, damaged: 0 });
      expect(await first.shipTree(host, first.tree(history, 5), { events }, 5, 5)).toMatchObject({ damaged: 1 });
      expect(await reader.damaged()).toEqual([2]);
    });

    it('does not replace stored content', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(5);
      await first.ship(host, history, 1, 3);
      const { events } = without(history, 2, 3);
      expect(await first.shipTree(host, first.tree(history), { events }, 1, 5)).toMatchObject({ damaged: 0 });
      await holds(history);
    });

    it('states its address', async () => {
      const { host, begun, first } = await setUp(start);
      const history = begun.on(1);
      const [event] = history.events;
      const { ts, etype } = event!;
      for (const wrong of [
        { ts, etype },
        { ts, etype, sealed: null },
        { ts, etype, sealed: null, eid: new Uint8Array(31) },
      ]) {
        const body = encode({ from: 1, tree: pairOf(first.tree(history)), events: [wrong] });
        const sent = send(host, `/replica/${ORIGIN}/events`, { method: 'POST', body });
        await expect(sent).rejects.toMatchObject({ code: 'BAD_REQUEST' });
      }
    });
  });

  describe('a history that does not reach its base', () => {
    it('is staged, and becomes the head completely once it does', async () => {
      const { host, begun, first, next, reader, holds } = await setUp(start);
      const old = begun.on(6, { bytes: 2_000 });
      await first.ship(host, old);
      const history = old.on(5, { at: 4, name: 'b', bytes: 2_000 });
      const second = await next(2);
      for (const [from, to] of [
        [5, 6],
        [7, 8],
      ] as const) {
        await second.ship(host, history, from, to, { base: 9 });
        await holds(old, prefix(history, to));
        expect((await reader.head()).tree).toMatchObject({ epoch: 1, sequence: 6 });
      }
      expect(await host.evidence()).toEqual([]);
      await second.ship(host, history, 9, 9, { base: 9 });
      await holds(history);
      expect(await host.evidence()).toEqual([5, 6]);
      expect(await host.evidenceKinds()).toEqual(['SET_ASIDE']);
      await second.ship(host, history.on(1), 10, 10, { base: 9 });
      await holds(history.on(1));
    });

    it('may continue from the head, which does not change', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(8);
      await first.ship(host, history, 1, 3);
      const second = await next(2);
      await second.ship(host, history, 4, 6, { base: NOT_ELECTED });
      await holds(prefix(history, 3), prefix(history, 6));
      await second.ship(host, history, 7, 8, { base: 3 });
      await holds(history);
      expect(await host.evidence()).toEqual([]);
    });

    it('may be shorter than the head, or a prefix of it', async () => {
      const { host, begun, first, next, reader, holds } = await setUp(start);
      const history = begun.on(8);
      await first.ship(host, history);
      const second = await next(2);
      await second.ship(host, history, 5, 5, { base: NOT_ELECTED });
      await holds(history, prefix(history, 5));
      const other = history.on(2, { at: 5, name: 'b' });
      await second.ship(host, other, 6, 7, { base: NOT_ELECTED });
      await holds(history, other);
      await second.ship(host, history, 6, 8, { base: 8 });
      await holds(history);
      expect((await reader.head()).tree).toMatchObject({ epoch: 2 });
      expect(await host.evidence()).toEqual([6, 7]);
    });

    it('is replaced by one of a higher epoch, and by a longer one of its own', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const base = { base: NOT_ELECTED };
      const history = begun.on(3);
      await first.ship(host, history);
      const left = history.on(3, { at: 2, name: 'left' });
      const second = await next(2);
      await second.ship(host, left, 3, 5, base);
      await second.ship(host, left, 3, 4, base);
      await holds(history, left);
      const right = history.on(2, { name: 'right' });
      const third = await next(3);
      await third.ship(host, right, 4, 4, base);
      await holds(history, prefix(right, 4));
      await expect(second.ship(host, left, 6, 5, base)).rejects.toEqual(refusedWith('FENCED'));
      await third.ship(host, right, 5, 5, base);
      await holds(history, right);
    });

    it('is the only history of an origin without a head, until it reaches its base', async () => {
      const { host, begun, first, holds, reader } = await setUp(start);
      const history = begun.on(9);
      await first.ship(host, history, 1, 4, { base: NOT_ELECTED });
      await holds(null, prefix(history, 4));
      expect((await reader.entries()).length).toBe(0);
      expect((await reader.entries('?of=staged')).length).toBe(4);
      expect(await reader.roots(0)).toMatchObject({ head: null });
      await first.ship(host, history, 5, 9, { base: 0 });
      await holds(history);
    });
  });

  describe('a complete tree', () => {
    it('of the same epoch on another history is FORKED, and kept', async () => {
      const { host, begun, first, holds } = await setUp(start);
      const history = begun.on(6);
      await first.ship(host, history, 1, 4);
      const other = history.on(4, { at: 3, name: 'b' });
      for (const to of [4, 7]) {
        const error: unknown = await first.ship(host, other, 4, to).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'FORKED', status: 409 });
        expect(treeIn((error as Refused).refusal, first.key)).toMatchObject({ sequence: 4, root: history.rootAt(4) });
      }
      await holds(prefix(history, 4));
      expect(await host.evidenceKinds()).toEqual(['FORK', 'FORK']);
    });

    it('of a line of this number that began elsewhere is FORKED, staged or not', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(4);
      await first.ship(host, history);
      const second = await next(2);
      for (const base of [0, NOT_ELECTED])
        await expect(second.ship(host, history, 5, 4, { begun: history.rootAt(1), base })).rejects.toEqual(
          refusedWith('FORKED'),
        );
      await holds(history);
      expect(await host.evidenceKinds()).toEqual(['FORK', 'FORK']);
    });

    it('of a lower line is OLDER, though its epoch is higher', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(4);
      await first.ship(host, history, 1, 4, { line: 2, begun: history.rootAt(2) });
      const second = await next(2);
      const error: unknown = await second.ship(host, history, 5, 4).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'OLDER' });
      expect(treeIn((error as Refused).refusal, first.key)).toMatchObject({ line: 2, epoch: 1 });
      await holds(history);
    });

    it('of a higher epoch sets aside the events that contradict it or are beyond it', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(6, { bytes: 2_000 });
      await first.ship(host, history);
      const second = await next(2);
      const other = history.on(1, { at: 3, name: 'b', bytes: 2_000 });
      await second.ship(host, other, 3, 4);
      await holds(other);
      expect(await host.evidence()).toEqual([4, 5, 6]);
      const third = await next(3);
      await third.ship(host, other, 3, 2);
      await holds(prefix(other, 2));
      expect(await host.evidence()).toEqual([3, 4, 4, 5, 6]);
      // Events that were set aside can be shipped again.
      await third.ship(host, history, 3, 6);
      await holds(history);
    });

    it('that lacks events that were at quorum is COMMITTED', async () => {
      const { host, begun, first, next, reader, holds } = await setUp(start);
      const history = begun.on(6);
      await first.ship(host, history, 1, 6, { quorum: 5 });
      const second = await next(2);
      const other = history.on(4, { at: 4, name: 'b' });
      for (const [from, to] of [
        [5, 8],
        [5, 4],
      ] as const) {
        const error: unknown = await second.ship(host, other, from, to).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'COMMITTED', status: 409 });
        expect(treeIn((error as Refused).refusal, first.key)).toMatchObject({ quorum: 5, epoch: 1 });
      }
      await holds(history);
      const kept = history.on(2, { at: 5, name: 'c' });
      await second.ship(host, kept, 6, 7);
      await holds(kept);
      // A higher line is not bound by it.
      const third = await next(3);
      await third.ship(host, other, 5, 8, { line: 2, begun: other.rootAt(5) });
      await holds(other);
      expect((await reader.head()).tree).toMatchObject({ line: 2 });
    });

    it('may state a quorum of more events than it has', async () => {
      const { host, begun, first, next, holds } = await setUp(start);
      const history = begun.on(6);
      await first.ship(host, history, 1, 2, { quorum: 5 });
      await first.ship(host, history, 3, 4, { quorum: 5 });
      await holds(prefix(history, 4));
      const second = await next(2);
      await expect(second.ship(host, history, 5, 4)).rejects.toEqual(refusedWith('COMMITTED'));
      await second.ship(host, history, 5, 6);
      await holds(history);
    });
  });
}

function prefix(history: History, length: number): History {
  return history.on(0, { at: length });
}
