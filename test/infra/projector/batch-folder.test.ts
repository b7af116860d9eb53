import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fact, RecordedEvent } from '../../../src/domain/event.js';
import { FoldError, BatchFolder, type LoadRows } from '../../../src/infra/projector/batch-folder.js';
import { defineProjection } from '../../../src/projections/projection.js';
import { cut, cuts } from '../../projections/histories.js';
import { foldBatches, MemoryTables } from '../../projections/support.js';
import { metadata } from '../../domain/support.js';

const tables = {
  accounts: {
    key: 'id',
    columns: { id: { type: 'text', fixed: true }, sum: { type: 'integer' } },
    indexes: {},
  },
} as const;

const texts = {
  texts: { key: 'id', columns: { id: { type: 'text', fixed: true }, text: { type: 'text' } }, indexes: {} },
} as const;

type Touched = Fact<'Touched', { readonly id: string }>;
type Moved = Fact<'Moved', { readonly from: string; readonly to: string }>;
type Dropped = Fact<'Dropped', { readonly id: string }>;

/** Each event computes one row from two, so that a stale or missing row changes all later rows. */
const accounts = defineProjection<typeof tables, Moved | Dropped>({
  name: 'accounts',
  version: 1,
  categories: ['account'],
  tables,
  handlers: {
    Moved: {
      touches: ({ data }) => [
        ['accounts', data.from],
        ['accounts', data.to],
      ],
      fold(rows, { data: { from, to } }) {
        const sum = (rows.get('accounts', to)?.sum ?? 1) * 31 + (rows.get('accounts', from)?.sum ?? 7);
        rows.put('accounts', { id: to, sum: sum % 1_000_003 });
      },
    },
    Dropped: {
      touches: () => {
        throw new Error('it names nothing');
      },
      fold(rows, { data: { id } }) {
        rows.put('accounts', { id, sum: 0 });
        throw new Error(`dropped ${id}`);
      },
    },
  },
});

function event(type: string, data: Record<string, string>, n: number): RecordedEvent {
  const place = { position: BigInt(n + 1), revision: 0n, stream: 'account-1', etype: 0, recordedAt: '' };
  return { type, data, metadata: metadata(0), id: String(n), ...place };
}

const moved = (from: string, to: string, n = 0) => event('Moved', { from, to }, n);
const account = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
const moves = fc
  .array(fc.tuple(account, account), { maxLength: 80, size: 'max' })
  .map((pairs) => pairs.map(([from, to], n) => moved(from, to, n)));

const NONE: ReadonlySet<bigint> = new Set();

/** Tables that record what is read from them. */
function noted() {
  const stored = new MemoryTables(accounts);
  const asked: string[][] = [];
  const load: LoadRows = (table, keys) => {
    asked.push([...keys].sort());
    return stored.load(table, keys);
  };
  return { stored, asked, load };
}

describe('a folder', () => {
  it('results in the same rows with a cache of any size, and with writes at any time', async () => {
    await fc.assert(
      fc.asyncProperty(
        moves,
        cuts,
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.boolean(), { minLength: 1 }),
        async (events, sizes, cacheSize, delays) => {
          const stored = new MemoryTables(accounts);
          const folder = new BatchFolder(accounts, stored.load, cacheSize);
          const unwritten: (() => void)[] = [];
          for (const [i, batch] of cut(events, sizes).entries()) {
            await folder.fold(batch, NONE);
            const changed = folder.take();
            // As `follow` does it: a batch is written by the time the one after the next is folded.
            while (unwritten.length > 0) unwritten.shift()?.();
            unwritten.push(() => {
              stored.write(changed);
              folder.written();
            });
            if (delays[i % delays.length] === false) unwritten.shift()?.();
          }
          for (const write of unwritten) write();
          const oneByOne = await foldBatches(
            accounts,
            events.map((each) => [each]),
          );
          expect(stored.rows()).toEqual(oneByOne);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['not yet taken', () => {}],
    ['taken and not yet written', (folder: BatchFolder) => void folder.take()],
  ])('keeps rows in memory that are changed and %s', async (_when, take) => {
    const { asked, load } = noted();
    const folder = new BatchFolder(accounts, load, 1);
    await folder.fold([moved('a', 'b', 0), moved('a', 'c', 1), moved('a', 'd', 2)], NONE);
    take(folder);
    await folder.fold([moved('b', 'b', 3), moved('c', 'c', 4), moved('d', 'd', 5)], NONE);
    expect(asked).toEqual([['a', 'b', 'c', 'd']]);
  });

  it('drops rows once they are written and there are too many', async () => {
    const { stored, asked, load } = noted();
    const folder = new BatchFolder(accounts, load, 1);
    await folder.fold([moved('a', 'b', 0), moved('a', 'c', 1)], NONE);
    stored.write(folder.take());
    folder.written();
    await folder.fold([moved('x', 'x', 2)], NONE);
    await folder.fold([moved('b', 'b', 3), moved('c', 'c', 4)], NONE);
    expect(asked).toEqual([['a', 'b', 'c'], ['x'], ['b', 'c']]);
  });

  it('asks for each row once, in one query a batch', async () => {
    const { asked, load } = noted();
    const folder = new BatchFolder(accounts, load);
    await folder.fold([moved('a', 'b', 0), moved('b', 'a', 1), moved('c', 'a', 2)], NONE);
    await folder.fold([moved('a', 'b', 3), moved('d', 'c', 4)], NONE);
    expect(asked).toEqual([['a', 'b', 'c'], ['d']]);
  });

  it('remembers that a row does not exist', async () => {
    const { asked, load } = noted();
    const folder = new BatchFolder(accounts, load);
    await folder.fold([moved('absent', 'a', 0)], NONE);
    await folder.fold([moved('absent', 'a', 1)], NONE);
    expect(asked).toEqual([['a', 'absent']]);
  });

  it('finds a row that it remembered as missing and then added', async () => {
    const { load } = noted();
    const folder = new BatchFolder(accounts, load);
    await folder.fold([moved('a', 'b', 0)], NONE);
    folder.take();
    await folder.fold([moved('a', 'a', 1)], NONE);
    expect(folder.take().get('accounts')).toEqual(new Map([['a', { id: 'a', sum: 31 + 7 }]]));
    await folder.fold([moved('a', 'c', 2)], NONE);
    expect(folder.take().get('accounts')).toEqual(new Map([['c', { id: 'c', sum: 31 + 38 }]]));
  });

  it('skips the given events', async () => {
    const events = [moved('a', 'b', 0), event('Dropped', { id: 'b' }, 1), moved('a', 'c', 2)];
    const folder = new BatchFolder(accounts, noted().load);
    expect(await folder.fold(events, new Set([2n]))).toEqual({ taken: 3, events: 2 });
    expect([...(folder.take().get('accounts')?.keys() ?? [])]).toEqual(['b', 'c']);
  });

  it('stops at an event whose handler throws, with the earlier events and nothing of that event', async () => {
    const events = [moved('a', 'b', 0), event('Dropped', { id: 'b' }, 1), moved('a', 'c', 2)];
    const folder = new BatchFolder(accounts, noted().load);
    const { events: count, failure } = await folder.fold(events, NONE);
    expect(count).toBe(1);
    expect(folder.take().get('accounts')).toEqual(new Map([['b', { id: 'b', sum: 31 + 7 }]]));
    expect(failure).toBeInstanceOf(FoldError);
    expect(failure).toMatchObject({ message: 'it names nothing', event: events[1] });
  });

  it.each([{ id: 'b' }, { id: 'b', sum: null }])(
    'stops at an event that would leave a column empty: %o',
    async (row) => {
      const emptied = defineProjection<typeof tables, Dropped>({
        ...{ name: 'accounts', version: 1, categories: accounts.categories },
        tables,
        handlers: { Dropped: { touches: () => [], fold: (rows) => rows.put('accounts', row as never) } },
      });
      const folder = new BatchFolder(emptied, noted().load);
      const { events: count, failure } = await folder.fold([event('Dropped', {}, 0)], NONE);
      expect(count).toBe(0);
      expect(failure).toMatchObject({ message: 'column sum would be left empty' });
    },
  );

  it('folds a batch in parts when the rows it touches are very large, and reports when it is full', async () => {
    const large = defineProjection<typeof texts, Touched>({
      name: 'texts',
      version: 1,
      categories: ['text'],
      tables: texts,
      handlers: {
        Touched: {
          touches: ({ data }) => [['texts', data.id]],
          fold: (rows, { data: { id } }) => rows.put('texts', { id, text: `${rows.get('texts', id)?.text ?? ''}!` }),
        },
      },
    });
    const stored = new MemoryTables(large);
    const rows = Array.from({ length: 400 }, (_, n) => ({ id: String(n), text: 'x'.repeat(50_000) }));
    stored.write(new Map([['texts', new Map(rows.map((row) => [row.id, row]))]]));
    const loaded: number[] = [];
    const folder = new BatchFolder(large, (table, keys) => {
      loaded.push(keys.length);
      return stored.load(table, keys);
    });
    let rest = rows.map(({ id }, n) => event('Touched', { id }, n));
    let parts = 0;
    for (; rest.length > 0; parts += 1) {
      const { taken, events } = await folder.fold(rest, NONE);
      expect(events).toBe(taken);
      rest = rest.slice(taken);
      expect(folder.isFull).toBe(rest.length > 0);
      stored.write(folder.take());
      expect(folder.isFull).toBe(false);
      folder.written();
    }
    expect(parts).toBe(2);
    expect(loaded).toEqual([250, 150]);
    expect(stored.rows()['texts']?.map(({ text }) => String(text).length)).toEqual(rows.map(() => 50_001));
  });

  it('counts events that it has no handler for', async () => {
    const folder = new BatchFolder(accounts, noted().load);
    expect(await folder.fold([event('MissionClosed', {}, 0)], NONE)).toEqual({ taken: 1, events: 1 });
    expect(folder.take().get('accounts')).toEqual(new Map());
  });

  it.each(['Unheard', 'JobLeaseExtended'])('stops at an event of a newer build: %s', async (type) => {
    const folder = new BatchFolder(accounts, noted().load);
    const { taken, failure } = await folder.fold([event('MissionClosed', {}, 0), event(type, {}, 1)], NONE);
    expect([taken, failure?.code, failure?.event.type]).toEqual([1, 'NEWER_EVENT', type]);
  });

  it('stops at an event in a schema version of a newer build', async () => {
    const folder = new BatchFolder(accounts, noted().load);
    const newer = event('MissionClosed', {}, 0);
    const { failure } = await folder.fold([{ ...newer, metadata: { ...newer.metadata, schemaVersion: 2 } }], NONE);
    expect(failure?.code).toBe('NEWER_EVENT');
  });
});
