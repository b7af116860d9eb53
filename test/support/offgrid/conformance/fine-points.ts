import { randomBytes } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { describe, expect, it } from 'vitest';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { pairOf, type SignedThing } from '../../../../src/infra/offgrid/protocol/signed.js';
import { decodeDamaged } from '../../../../src/infra/offgrid/protocol/answers.js';
import { History, ORIGIN, Process, Reader, send, treeIn, type HostAt, type Refused } from '../by-hand.js';
import { signMap } from '../protocol-2.js';
import { ask, headersFor } from './requests.js';
import type { StartHost } from './conforming-host.js';

const BAD_REQUEST = { status: 400, code: 'BAD_REQUEST' };
const post = (host: HostAt, path: string, body: Uint8Array, origin = ORIGIN) =>
  send(host, `/replica/${origin}/${path}`, { method: 'POST', body });

async function setUp(start: StartHost) {
  const host = await start();
  const begun = History.begin();
  const first = new Process(begun.root);
  await first.claim(host);
  return { host, begun, first, reader: new Reader(host, begun.root) };
}

/** A tree as a map, with an unknown member. */
function treeMap({ epoch, writer }: Process, history: History, changed: object = {}): object {
  const { length: sequence } = history;
  const root = history.rootAt(sequence);
  return {
    ...{ ts: 1, base: 0, line: 1, root, begun: history.rootAt(0), epoch, origin: ORIGIN, writer, sequence },
    ...{ quorum: 0, quorumRoot: history.rootAt(0), unknown: [{ large: 2n ** 63n }, null], ...changed },
  };
}

const batchOf = (history: History, tree: SignedThing<'tree'>) =>
  encode({ from: 1, tree: pairOf(tree), events: history.events, more: true });

/** The cases that docs/protocol.md states explicitly because it could otherwise be read in two ways. */
export function finePointCases(start: StartHost): void {
  describe('the form of a request', () => {
    it('may have unknown members, and must have all known ones', async () => {
      const { host, begun, first } = await setUp(start);
      const history = begun.on(2);
      const signed = (changed: object) => signMap('tree', treeMap(first, history, changed), begun.root.signingKey);
      for (const changed of [
        ...[{ base: '0' }, { line: 0 }, { writer: 'abcdef' }, { root: new Uint8Array(31) }, { ts: -1 }],
        ...[{ sequence: 2 ** 53 - 1 }, { quorum: 2 ** 53 - 1 }, { more: new Uint8Array(900) }, { epoch: null }],
      ])
        await expect(
          post(host, 'events', batchOf(history, signed(changed))),
          JSON.stringify(changed),
        ).rejects.toMatchObject(BAD_REQUEST);
      const altered = { ...signed({}), content: signed({ base: '0' }).content };
      await expect(post(host, 'events', batchOf(history, altered))).rejects.toMatchObject({ code: 'NOT_SIGNED' });
      await post(host, 'events', batchOf(history, signed({})));
    });

    it('must have its keys in order, and numbers in their shortest form', async () => {
      const { host, begun } = await setUp(start);
      const history = begun.on(1);
      const body = Buffer.from(encode({ events: history.numbered(1, 1) }));
      const text = body.toString('latin1');
      const swapped = text.replace(/^\xa1/, '\xa2').concat('\x61a\x01');
      const long = text.replace('\x65etype\x0a', '\x65etype\x18\x0a');
      const undefinedMember = `\xa2\x61a\xf7${text.slice(1)}`;
      for (const changed of [swapped, long, undefinedMember, `${text}\x00`, text.slice(0, -1)]) {
        expect(changed).not.toBe(text);
        await expect(post(host, 'mend', Buffer.from(changed, 'latin1'))).rejects.toMatchObject(BAD_REQUEST);
      }
      await post(host, 'mend', body);
    });

    it('has at most 500 events', async () => {
      const { host, first, begun } = await setUp(start);
      const history = begun.on(501);
      await expect(post(host, 'events', batchOf(history, first.tree(history)))).rejects.toMatchObject(BAD_REQUEST);
      await post(host, 'events', batchOf(history.on(0, { at: 500 }), first.tree(history, 500)));
    });

    it('is checked before the origin is looked up', async () => {
      const host = await start();
      for (const path of ['entries?limit=0', 'events?of=all', 'damaged?after=x', 'roots'])
        await expect(send(host, `/replica/unknown/${path}`), path).rejects.toMatchObject(BAD_REQUEST);
      await expect(post(host, 'mend', encode({}), 'unknown')).rejects.toMatchObject(BAD_REQUEST);
      await expect(post(host, 'mend', encode({ events: [] }), 'unknown')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(post(host, 'events', encode({}), 'unknown')).rejects.toMatchObject(BAD_REQUEST);
    });

    it('may have unknown parameters, and leading zeros in numbers', async () => {
      const { host, begun, first, reader } = await setUp(start);
      await first.ship(host, begun.on(3));
      expect((await reader.entries('?after=0000000000000001&other=1&other=2')).length).toBe(2);
      await expect(reader.entries('?after=00000000000000001')).rejects.toMatchObject(BAD_REQUEST);
    });
  });

  describe('a caller', () => {
    it('receives the time only if it has signed, and uses up a nonce even with another body', async () => {
      const { host } = await setUp(start);
      const path = `/replica/${ORIGIN}/damaged`;
      const wrongKey = headersFor(host, { path, authKey: 'another key', nowMs: 0 });
      const { status, headers } = await ask(host, path, wrongKey);
      expect([status, headers.get('x-offgrid-date')]).toEqual([401, null]);
      const mend = `/replica/${ORIGIN}/mend`;
      const body = encode({ events: [] });
      const signed = headersFor(host, { method: 'POST', path: mend, body });
      expect(await ask(host, mend, signed, Buffer.from('another'))).toMatchObject({ code: 'UNAUTHENTICATED' });
      expect(await ask(host, mend, signed, body)).toMatchObject({ code: 'UNAUTHENTICATED' });
      const loud = headersFor(host, { method: 'POST', path: mend, body });
      const signature = loud['x-offgrid-signature']!.toUpperCase();
      expect(await ask(host, mend, { ...loud, 'x-offgrid-signature': signature }, body)).toMatchObject({
        code: 'UNAUTHENTICATED',
      });
    });

    it('receives NOT_FOUND for an unknown path, with or without the key', async () => {
      const { host } = await setUp(start);
      for (const path of [`/replica/${ORIGIN}/heads`, `/replica/${ORIGIN}`, '/replica/a/b/c/d'])
        expect(await ask(host, path, {}), path).toMatchObject({ status: 404, code: 'NOT_FOUND' });
      expect(await ask(host, `/replica/${ORIGIN}/claim`, {})).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    });

    it('receives the identity of the host without a key', async () => {
      const { host } = await setUp(start);
      const answer = await fetch(`${host.url}/pubkeys`);
      expect(await answer.json()).toMatchObject({ ed25519_verify_key: host.identity.verifyKey, protocol: 2 });
    });

    it('may send a body in chunks', async () => {
      const { host, begun, first } = await setUp(start);
      const history = begun.on(2);
      const body = batchOf(history, first.tree(history));
      const path = `/replica/${ORIGIN}/events`;
      const chunks = new ReadableStream<Uint8Array>({
        start: (controller) => {
          for (let at = 0; at < body.length; at += 100) controller.enqueue(body.subarray(at, at + 100));
          controller.close();
        },
      });
      const headers = headersFor(host, { method: 'POST', path, body });
      const init = { method: 'POST', headers, body: chunks, duplex: 'half' } as RequestInit;
      expect((await fetch(`${host.url}${path}`, init)).status).toBe(200);
    });
  });

  describe('a key', () => {
    it.each(['00'.repeat(32), `01${'00'.repeat(30)}80`, `ee${'ff'.repeat(30)}7f`])(
      'of small order, %s, is refused',
      async (key) => {
        const host = await start();
        const claim = pairOf(signMap('claim', {}, History.begin().root.signingKey));
        const body = encode({ key: Buffer.from(key, 'hex'), claim, challenge: randomBytes(16) });
        await expect(post(host, 'claim', body)).rejects.toMatchObject(BAD_REQUEST);
      },
    );
  });

  describe('an event that the host does not have', () => {
    it('has no root, no entry and no content', async () => {
      const { host, begun, first, reader } = await setUp(start);
      expect(await reader.roots(0)).toEqual({ head: null, staged: null });
      for (const of of ['head', 'staged'])
        expect([await reader.entries(`?of=${of}`), await reader.events(`?of=${of}`)]).toEqual([[], []]);
      await first.ship(host, begun.on(2));
      expect(await reader.roots(0)).toEqual({ head: begun.rootAt(0), staged: null });
      expect(await reader.entries('?after=9007199254740990')).toEqual([]);
      expect(await reader.mend([])).toBe(0);
      expect(decodeDamaged(await send(host, `/replica/${ORIGIN}/damaged?after=1&limit=1`)).sequences).toEqual([]);
    });

    it('is not counted by a mend, while an intact event is', async () => {
      const { host, begun, first, reader } = await setUp(start);
      const history = begun.on(3);
      await first.ship(host, history);
      const second = new Process(begun.root, 2);
      await second.claim(host);
      const other = history.on(2, { at: 2, name: 'b' });
      await second.ship(host, other, 3, 4, { base: NOT_ELECTED });
      const [one, two, three] = history.numbered(1, 3);
      expect(await reader.mend([one!, two!, one!, three!])).toBe(3);
      expect(await reader.mend([{ ...two!, sequence: 3 }, ...other.numbered(3, 4)])).toBe(2);
      expect(await reader.mend(history.on(2).numbered(5, 5))).toBe(0);
    });
  });

  describe('a batch, at the limits of its rules,', () => {
    const refusalOf = async (work: Promise<unknown>) => {
      const error: unknown = await work.catch((reason: unknown) => reason);
      expect(error).toMatchObject({ refusal: expect.anything() });
      return (error as Refused).refusal;
    };

    it('is refused for its first error', async () => {
      const { host, begun, first } = await setUp(start);
      const history = begun.on(4);
      const impostor = new Process(History.begin().root, 9);
      expect(await refusalOf(impostor.ship(host, history, 3, 4))).toMatchObject({ code: 'NOT_SIGNED' });
      const second = new Process(begun.root, 2);
      const short = second.shipTree(host, second.tree(history), history, 1, 3);
      expect(await refusalOf(short)).toMatchObject({ code: 'BAD_REQUEST' });
      expect(await refusalOf(second.ship(host, history, 4, 4))).toMatchObject({ code: 'NOT_CLAIMED' });
      await first.ship(host, history, 1, 2);
      const elsewhere = { begun: history.rootAt(1) };
      expect(await refusalOf(first.ship(host, history, 4, 4, elsewhere))).toMatchObject({ code: 'GAP', sequence: 2 });
      const wrong = first.ship(host, history, 3, 4, { ...elsewhere, root: history.rootAt(1) });
      expect(await refusalOf(wrong)).toMatchObject({ code: 'OTHER' });
      expect(await refusalOf(first.ship(host, history, 3, 4, elsewhere))).toMatchObject({ code: 'FORKED' });
    });

    it('that is staged states a quorum, which binds from then on', async () => {
      const { host, begun, first, reader } = await setUp(start);
      const history = begun.on(5);
      await first.ship(host, history, 1, 3, { base: NOT_ELECTED, quorum: 4, quorumRoot: history.rootAt(4) });
      const second = new Process(begun.root, 2);
      await second.claim(host);
      const refusal = await refusalOf(second.ship(host, history, 1, 3));
      expect(refusal).toMatchObject({ code: 'COMMITTED' });
      expect(treeIn(refusal, first.key)).toMatchObject({ sequence: 3, quorum: 4, base: NOT_ELECTED });
      expect(await reader.head()).toMatchObject({ tree: null, staged: { sequence: 3 } });
      await second.ship(host, history, 4, 5);
      expect(await reader.head()).toMatchObject({ tree: { epoch: 2, sequence: 5 }, staged: null });
    });

    it('must share the beginning of the line of the known quorum, even if the head is of another line', async () => {
      const { host, begun, first } = await setUp(start);
      const history = begun.on(3);
      const [second, third] = [
        { line: 2, begun: history.rootAt(1) },
        { line: 2, begun: history.rootAt(2) },
      ];
      await first.ship(host, history, 1, 2);
      await first.ship(host, history, 3, 3, { ...second, base: NOT_ELECTED, quorum: 1 });
      const refusal = await refusalOf(first.ship(host, history, 3, 3, third));
      expect(refusal).toMatchObject({ code: 'FORKED' });
      expect(treeIn(refusal, first.key)).toMatchObject({ line: 2, begun: history.rootAt(1) });
    });

    it('that is staged is replaced by one of the same epoch and length, and does not return to the head', async () => {
      const { host, begun, first, reader } = await setUp(start);
      const history = begun.on(5);
      await first.ship(host, history, 1, 2);
      const left = history.on(2, { at: 2, name: 'left' });
      const right = history.on(2, { at: 2, name: 'right' });
      await first.ship(host, left, 3, 4, { base: NOT_ELECTED });
      await first.ship(host, right, 3, 4, { base: NOT_ELECTED });
      expect((await reader.head()).staged?.root).toEqual(right.rootAt(4));
      expect(await host.evidence()).toEqual([3, 4]);
      // A tree whose events the head already has keeps the staged history; a tree that extends the head ends it.
      await first.ship(host, history, 3, 2, { quorum: 1 });
      expect(await reader.head()).toMatchObject({ tree: { sequence: 2, quorum: 1 }, staged: { sequence: 4 } });
      await first.ship(host, history, 3, 3);
      expect(await reader.head()).toMatchObject({ tree: { sequence: 3 }, staged: null });
      expect(await host.evidence()).toEqual([3, 3, 4, 4]);
    });

    it('under a claim that was sent again finds the claim that was granted first', async () => {
      const { host, first } = await setUp(start);
      const more = { epoch: 1, host: host.identity.id, more: 1, origin: ORIGIN, writer: first.writer };
      const claim = pairOf(signMap('claim', more, first.root.signingKey));
      await post(host, 'claim', encode({ key: first.key, claim, challenge: randomBytes(16) }));
      const fenced: unknown = await new Process(first.root, 1, 'abcdef:another-writer')
        .claim(host)
        .catch((e: unknown) => e);
      const { refusal } = fenced as Refused;
      expect(refusal.code === 'FENCED' && Buffer.from(refusal.claim.content).includes('more')).toBe(false);
    });
  });
}
