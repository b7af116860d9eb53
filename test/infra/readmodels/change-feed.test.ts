import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Nudge } from '../../../src/infra/platform/nudge.js';
import { ChangeFeed, type Changed } from '../../../src/infra/readmodels/change-feed.js';

interface Row {
  readonly key: number;
  readonly position: bigint;
}

/** Rows as a projection keeps them: a commit is in the file a moment before it is announced. */
class Rows {
  position = 0n;
  readonly rows = new Map<number, Row>();
  readonly feed = new ChangeFeed<Row, number>(
    this,
    (after, key, limit) => this.#read(after, key, limit),
    (key, row) => row.key === key,
  );
  readonly #committed = new Nudge();
  #written = 0n;

  committed(signal: AbortSignal): Promise<void> {
    return this.#committed.wait(signal);
  }

  write(key: number): void {
    this.#written += 1n;
    this.rows.set(key, { key, position: this.#written });
  }

  announce(): void {
    this.position = this.#written;
    this.#committed.notify();
  }

  commit(...keys: number[]): void {
    for (const key of keys) this.write(key);
    this.announce();
  }

  /** A read finds what was written when it began, and answers later. */
  async #read(after: bigint, key: number | undefined, limit: number): Promise<Changed<Row>[]> {
    const found = [...this.rows.values()]
      .filter((row) => row.position > after && (key === undefined || row.key === key))
      .toSorted((a, b) => Number(a.position - b.position))
      .slice(0, limit);
    await turn();
    return found.map((row) => ({ position: row.position, value: { ...row } }));
  }
}

/** Reads a feed, and records the changes; `rest` is awaited after each change. */
class Reader {
  readonly seen: Row[] = [];
  readonly #end = new AbortController();
  readonly #reading: Promise<void>;

  constructor(rows: Rows, after: bigint, filter?: number, rest: () => Promise<unknown> = () => Promise.resolve()) {
    this.#reading = (async () => {
      for await (const row of rows.feed.changes(after, filter, this.#end.signal)) {
        this.seen.push(row);
        await rest();
      }
    })();
  }

  /** Ends the reading once no more changes arrive. */
  async end(): Promise<readonly Row[]> {
    for (let idle = 0, count = -1; idle < 10; idle = this.seen.length === count ? idle + 1 : 0) {
      count = this.seen.length;
      await turn();
    }
    this.#end.abort();
    await this.#reading;
    return this.seen;
  }
}

function expectAscending(seen: readonly Row[]): void {
  expect(seen.filter(({ position }, i) => i > 0 && position <= (seen[i - 1]?.position ?? 0n))).toEqual([]);
}

const KEYS = 6;
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('write' as const), key: fc.nat(KEYS - 1) }),
    fc.record({ do: fc.constantFrom('announce' as const, 'turn' as const), key: fc.constant(0) }),
  ),
  { maxLength: 60 },
);

describe('a change feed', () => {
  it("shows every row's last state, in order, for any interleaving of commits and reads", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(KEYS - 1), async (all, key) => {
        const rows = new Rows();
        const readers = [
          new Reader(rows, 0n),
          new Reader(rows, 0n, key),
          new Reader(rows, 0n, undefined, () => turn()),
        ];
        for (const step of all) {
          if (step.do === 'write') rows.write(step.key);
          else if (step.do === 'announce') rows.announce();
          else await turn();
        }
        rows.announce();
        for (const [i, reader] of readers.entries()) {
          const seen = await reader.end();
          expectAscending(seen);
          const expected = [...rows.rows.values()].filter((row) => i !== 1 || row.key === key);
          expect(new Set(new Map(seen.map((row) => [row.key, row])).values())).toEqual(new Set(expected));
        }
      }),
    );
  });

  it('shows more rows than it reads at a time, each once', async () => {
    const rows = new Rows();
    rows.commit(...Array.from({ length: 1_234 }, (_, key) => key));
    expect(await new Reader(rows, 0n).end()).toEqual([...rows.rows.values()]);
    expect(await new Reader(rows, 1_000n).end()).toEqual([...rows.rows.values()].slice(1_000));
  });

  it('shows a slow reader the latest state of a row, not earlier ones', async () => {
    const rows = new Rows();
    rows.commit(1);
    let goOn = () => {};
    const resting = new Promise<void>((resolve) => (goOn = resolve));
    const reader = new Reader(rows, 0n, undefined, () => resting);
    await turn();
    await turn();
    for (let i = 0; i < 100; i += 1) {
      rows.commit(1, 2);
      await turn();
    }
    goOn();
    expect((await reader.end()).map(({ key, position }) => [key, position])).toEqual([
      [1, 1n],
      [1, 200n],
      [2, 201n],
    ]);
  });

  it('shares each read among readers at the same position, both new readers and waiting ones', async () => {
    const rows = new Rows();
    rows.commit(1);
    const readers = Array.from({ length: 3 }, () => new Reader(rows, 0n));
    await turn();
    await turn();
    rows.commit(2);
    const [first, ...others] = await Promise.all(readers.map((reader) => reader.end()));
    expect(first).toHaveLength(2);
    for (const other of others) {
      expect(other).toHaveLength(2);
      for (const [i, row] of other.entries()) expect(row).toBe(first?.[i]);
    }
  });
});
