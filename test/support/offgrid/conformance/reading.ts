import { describe, expect, it } from 'vitest';
import { decodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import { ORIGIN, Process, Reader, send, History } from '../by-hand.js';
import type { StartHost } from './conforming-host.js';

async function setUp(start: StartHost) {
  const host = await start();
  const history = History.begin().on(20, { bytes: 600 }).on(2, { bytes: 300_000 });
  const process = new Process(history.root);
  await process.claim(host);
  await process.ship(host, history);
  return { host, history, process, reader: new Reader(host, history.root) };
}

const get = (path: string) => `/replica/${ORIGIN}/${path}`;

/** The cases for reading. */
export function readingCases(start: StartHost): void {
  describe('reading', () => {
    it('returns entries of either history, a page at a time', async () => {
      const { host, history, reader } = await setUp(start);
      const second = new Process(history.root, 2);
      await second.claim(host);
      const other = history.on(3, { at: 18, name: 'b' });
      await second.ship(host, other, 19, 21, { base: 99 });
      const entries = (events: History['events']) =>
        events.map((event) => ({ ...entryOf(event), eid: new Uint8Array(entryOf(event).eid) }));
      expect((await reader.entries()).map(decodeEntry)).toEqual(entries(history.events));
      expect((await reader.entries('?of=staged&after=15&limit=4')).map(decodeEntry)).toEqual(
        entries(other.events.slice(15, 19)),
      );
      expect((await reader.entries('?after=16&limit=4')).map(decodeEntry)).toEqual(
        entries(history.events.slice(16, 20)),
      );
      expect(await reader.entries('?after=22')).toEqual([]);
    });

    it('returns events, limited in number and in bytes, but at least one', async () => {
      const { history, reader } = await setUp(start);
      expect(await reader.events('?after=3&limit=5')).toEqual(history.numbered(4, 8));
      expect((await reader.events()).length).toBe(20);
      expect(await reader.events('?after=20')).toEqual(history.numbered(21, 21));
      expect(await reader.events('?after=20&bytes=1')).toEqual(history.numbered(21, 21));
      expect(await reader.events('?after=20&bytes=1000000')).toEqual(history.numbered(21, 22));
      const { byteLength } = history.events[0]!.sealed;
      expect((await reader.events(`?bytes=${3 * byteLength + 10}`)).length).toBe(3);
      expect(await reader.events('?after=22')).toEqual([]);
    });

    it('returns roots, null beyond the end', async () => {
      const { history, reader } = await setUp(start);
      expect(await reader.roots(22)).toEqual({ head: history.rootAt(22), staged: null });
      expect(await reader.roots(23)).toEqual({ head: null, staged: null });
      expect(await new Reader(reader.host, history.root, 'unknown').roots(0)).toEqual({ head: null, staged: null });
    });

    it.each(['entries', 'events', 'damaged'])('%s of an unknown origin is NOT_FOUND', async (path) => {
      const { host } = await setUp(start);
      await expect(send(host, `/replica/unknown/${path}`)).rejects.toMatchObject({ status: 404, code: 'NOT_FOUND' });
    });

    it.each([
      'head',
      'head?challenge=00',
      'head?challenge=' + 'A'.repeat(64),
      'roots',
      'roots?at=-1',
      'roots?at=9007199254740991',
      'roots?at=1&at=2',
      'entries?of=other',
      'entries?limit=0',
      'entries?limit=32769',
      'entries?after=1.5',
      'events?limit=1001',
      'events?bytes=0',
      'events?bytes=4194305',
      'damaged?limit=1001',
    ])('%s is BAD_REQUEST', async (path) => {
      const { host } = await setUp(start);
      await expect(send(host, get(path))).rejects.toMatchObject({ status: 400, code: 'BAD_REQUEST' });
    });

    it('an invalid name of an origin is BAD_REQUEST, and an unknown path is NOT_FOUND', async () => {
      const { host } = await setUp(start);
      await expect(send(host, `/replica/.x/head?challenge=${'0'.repeat(64)}`)).rejects.toMatchObject({
        code: 'BAD_REQUEST',
      });
      await expect(send(host, get('nothing'))).rejects.toMatchObject({ status: 404, code: 'NOT_FOUND' });
    });
  });
}
