import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DEFAULT_POLICIES } from '../../../../src/infra/offgrid/broker/quorum.js';
import { StoreError } from '../../../../src/infra/offgrid/broker/store-file.js';
import { BrokerStore, MAX_LISTED, STORE_LIMITS } from '../../../../src/infra/offgrid/broker/store.js';
import { Connection, SqliteError } from '../../../../src/infra/sqlite/connection.js';
import { newFolder } from '../../../support/broker/broker.js';

const NOW = 1_800_000_000;
const quorum = (id: string, kind = 'replica') => ({ id, kind, required: 2, meta: '{}' });
const host = (nodeId: string) => ({ nodeId, url: 'http://127.0.0.1:8081', prices: '{}', freeBytes: 2 ** 50 });

/** A store that is closed with the test, unless it was closed before. */
async function openStore(folder: string, limits = {}, nowS = NOW): Promise<BrokerStore> {
  const store = await BrokerStore.open(folder, nowS, { ...STORE_LIMITS, ...limits });
  onTestFinished(() => store.close().catch(() => undefined));
  return store;
}

async function ackedBy(store: BrokerStore, id: string, ...nodes: string[]) {
  for (const node of nodes) await store.ack('replica', id, node, DEFAULT_POLICIES, NOW);
}

async function idsIn(store: BrokerStore): Promise<string[]> {
  return (await store.list(undefined)).map(({ id }) => id);
}

describe('a broker’s store', () => {
  it('has the written data when it is opened again', async () => {
    const folder = await newFolder();
    const store = await openStore(folder);
    await store.create(quorum('a'), NOW);
    await ackedBy(store, 'a', 'host-b', 'host-a');
    await store.announce(host('host-a'), NOW);
    const before = [await store.list(undefined), (await store.hosts()).map(({ scoreAt: _, ...rest }) => rest)];
    await store.close();
    const again = await openStore(folder);
    expect([await again.list(undefined), (await again.hosts()).map(({ scoreAt: _, ...rest }) => rest)]).toEqual(before);
    expect(await again.record('replica', 'a')).toEqual({
      ...quorum('a'),
      acks: [
        { id: 'host-a', ts: NOW, w: 1 },
        { id: 'host-b', ts: NOW, w: 1 },
      ],
      finalized: true,
      ts: NOW,
    });
  });

  it('creates a record once, even if many create it at the same time', async () => {
    const store = await openStore(await newFolder());
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, index) => store.create({ ...quorum('a'), required: index + 1 }, NOW)),
    );
    expect(new Set(made.map(({ required }) => required))).toEqual(new Set([1]));
  });

  it('counts all acks that arrive at the same time', async () => {
    const store = await openStore(await newFolder());
    await store.create({ ...quorum('a'), required: 20 }, NOW);
    const nodes = Array.from({ length: 20 }, (_, index) => `host-${index}`);
    const outcomes = await Promise.all(nodes.map((node) => store.ack('replica', 'a', node, DEFAULT_POLICIES, NOW)));
    expect(outcomes.filter((outcome) => outcome.counted && outcome.finalized)).toHaveLength(1);
    expect((await store.record('replica', 'a'))?.acks).toHaveLength(20);
  });

  it('drops the oldest final record beyond its limit, and the oldest record if none is final', async () => {
    const folder = await newFolder();
    const store = await openStore(folder, { records: 3 });
    for (const id of ['a', 'b', 'c']) await store.create(quorum(id), NOW);
    await ackedBy(store, 'c', 'host-a', 'host-b');
    await ackedBy(store, 'b', 'host-a', 'host-b');
    await store.create(quorum('d'), NOW);
    expect(await idsIn(store)).toEqual(['d', 'c', 'a']);
    await store.create(quorum('e'), NOW);
    expect(await idsIn(store)).toEqual(['e', 'd', 'a']);
    await store.create(quorum('f'), NOW);
    expect(await idsIn(store)).toEqual(['f', 'e', 'd']);
    // Their acks were dropped with them.
    const connection = await Connection.open(join(folder, 'broker.db'), 'read');
    onTestFinished(() => connection.close());
    expect(await connection.all('SELECT * FROM acks')).toEqual([]);
  });

  it('refuses acks of a record beyond its limit, except those of known nodes', async () => {
    const store = await openStore(await newFolder(), { acks: 2 });
    await store.create({ ...quorum('a'), required: 9 }, NOW);
    await ackedBy(store, 'a', 'host-a', 'host-b');
    expect(await store.ack('replica', 'a', 'host-c', DEFAULT_POLICIES, NOW)).toEqual({
      counted: false,
      why: 'TOO_MANY_ACKS',
    });
    expect(await store.ack('replica', 'a', 'host-b', DEFAULT_POLICIES, NOW)).toMatchObject({ counted: true, sum: 2 });
  });

  it('drops the host lost for longest when there are too many, and never an active host', async () => {
    const store = await openStore(await newFolder(), { hosts: 2 });
    await store.announce(host('a'), NOW);
    await store.announce(host('b'), NOW + 20);
    expect(await store.announce(host('c'), NOW + 30)).toBe(false);
    expect(await store.announce(host('b'), NOW + 40)).toBe(true);
    expect(await store.announce(host('c'), NOW + 40)).toBe(true);
    expect((await store.hosts()).map(({ nodeId }) => nodeId)).toEqual(['b', 'c']);
  });

  it('lists the newest, of a kind or of all', async () => {
    const store = await openStore(await newFolder());
    await store.create(quorum('a', 'replica'), NOW);
    await store.create(quorum('a', 'upload'), NOW);
    await store.create(quorum('b', 'replica'), NOW);
    expect((await store.list('replica')).map(({ id }) => id)).toEqual(['b', 'a']);
    expect((await store.list('upload')).map(({ id }) => id)).toEqual(['a']);
    expect(await store.list('nothing')).toEqual([]);
    expect(await idsIn(store)).toEqual(['b', 'a', 'a']);
  });

  it(`lists ${MAX_LISTED} at most`, async () => {
    const folder = await newFolder();
    await (await openStore(folder)).close();
    const connection = await Connection.open(join(folder, 'broker.db'), 'write');
    await connection.run(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_LISTED + 1})
       INSERT INTO quorums (kind, id, required, meta, ts) SELECT 'replica', i, 1, '{}', ${NOW} FROM n`,
    );
    await connection.close();
    const store = await openStore(folder);
    const ids = await idsIn(store);
    expect([ids.length, ids[0]]).toEqual([MAX_LISTED, String(MAX_LISTED + 1)]);
    expect(await store.counts()).toEqual({ records: MAX_LISTED + 1, finalized: 0 });
  });

  it('belongs to one broker at a time', async () => {
    const folder = await newFolder();
    const store = await openStore(folder);
    await expect(openStore(folder)).rejects.toThrow(/Another broker runs on this folder/);
    await store.close();
    await openStore(folder);
  });

  it('does not change a database of another program', async () => {
    const folder = await newFolder();
    const connection = await Connection.open(join(folder, 'broker.db'), 'write');
    await connection.exec('CREATE TABLE theirs (x)');
    await connection.close();
    await expect(openStore(folder)).rejects.toThrow(StoreError);
  });

  it('reports that a file is not a database', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'broker.db'), 'no database at all, but long enough to be taken for one'.repeat(100));
    await expect(openStore(folder)).rejects.toThrow(SqliteError);
  });
});
