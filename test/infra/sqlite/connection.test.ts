import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Connection, SqliteError } from '../../../src/infra/sqlite/connection.js';
import { connect, fileWithItems, newFile } from './support.js';

/** The first integer that a float cannot hold. */
const BEYOND_FLOATS = 2n ** 53n + 1n;
const LARGEST = 2n ** 63n - 1n;

async function failure(work: Promise<unknown>): Promise<SqliteError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof SqliteError) return error;
  throw new Error(`expected a SqliteError, got ${String(error)}`);
}

describe('a parameter', () => {
  it.each([0n, 42n, -42n, BEYOND_FLOATS, LARGEST, -LARGEST - 1n])(
    'that is the bigint %s is stored as that integer, not NULL',
    async (size) => {
      const connection = await connect(await fileWithItems());
      await connection.run('INSERT INTO item (name, size) VALUES (?, ?)', ['a', size]);
      expect(await connection.all('SELECT typeof(size) AS type, CAST(size AS TEXT) AS size FROM item')).toEqual([
        { type: 'integer', size: size.toString() },
      ]);
    },
  );

  it('that is a bigint compares as an integer with an integer column', async () => {
    const connection = await connect(await fileWithItems());
    await connection.run('INSERT INTO item (id, name) VALUES (9, ?), (10, ?), (11, ?)', ['a', 'b', 'c']);
    expect(await connection.all('SELECT id FROM item WHERE id > ? ORDER BY id LIMIT ?', [9n, 1n])).toEqual([
      { id: 10 },
    ]);
  });

  it.each([
    ['text', 'é🌕', 'text'],
    ['a number', 1.5, 'real'],
    ['true', true, 'integer'],
    ['false', false, 'integer'],
    ['null', null, 'null'],
    ['bytes', new Uint8Array([0, 1, 255]), 'blob'],
  ])('that is %s is bound with its own type', async (_, param, type) => {
    const connection = await connect(await newFile());
    const [row] = await connection.all('SELECT ? AS value, typeof(?) AS type', [param, param]);
    expect(row?.['type']).toBe(type);
    const value = row?.['value'];
    expect(value instanceof Uint8Array ? new Uint8Array(value) : value).toEqual(
      typeof param === 'boolean' ? Number(param) : param,
    );
  });
});

describe('an integer beyond 2^53', () => {
  it('is exact when cast to text, and only then', async () => {
    const connection = await connect(await newFile());
    const [row] = await connection.all<{ exact: string; float: number }>(
      `SELECT CAST(${BEYOND_FLOATS} AS TEXT) AS exact, ${BEYOND_FLOATS} AS float`,
    );
    expect(BigInt(row?.exact ?? 0)).toBe(BEYOND_FLOATS);
    expect(BigInt(row?.float ?? 0)).not.toBe(BEYOND_FLOATS);
  });
});

describe('a statement', () => {
  it('reports how many rows it changed', async () => {
    const connection = await connect(await fileWithItems());
    await connection.run("INSERT INTO item (name) VALUES ('a'), ('b'), ('c')");
    expect(await connection.run("UPDATE item SET name = 'x' WHERE name <> ?", ['a'])).toEqual({ changes: 2 });
    expect(await connection.run('DELETE FROM item WHERE name = ?', ['absent'])).toEqual({ changes: 0 });
  });

  it('returns no rows when none match', async () => {
    const connection = await connect(await fileWithItems());
    expect(await connection.all('SELECT * FROM item')).toEqual([]);
  });

  it('may be one of many more than are kept prepared', async () => {
    const connection = await connect(await newFile());
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    const rows = await Promise.all([...numbers, ...numbers].map((n) => connection.all(`SELECT ${n} AS n`)));
    expect(rows.flat()).toEqual([...numbers, ...numbers].map((n) => ({ n })));
  });

  it('that read some of the rows does not block a checkpoint of the write-ahead log', async () => {
    const path = await fileWithItems();
    const writer = await connect(path);
    const reader = await connect(path, 'read');
    await writer.run("INSERT INTO item (name) VALUES ('a'), ('b')");
    expect(await reader.all('SELECT name FROM item LIMIT 1')).toEqual([{ name: 'a' }]);
    await writer.run("INSERT INTO item (name) VALUES ('c')");
    expect(await writer.all('PRAGMA wal_checkpoint(TRUNCATE)')).toEqual([{ busy: 0, log: 0, checkpointed: 0 }]);
  });
});

describe('a transaction', () => {
  it('keeps what it wrote and returns the result of its work', async () => {
    const path = await fileWithItems();
    const connection = await connect(path);
    const answer = await connection.transaction('BEGIN IMMEDIATE', async () => {
      await connection.run("INSERT INTO item (name) VALUES ('a')");
      return 'done';
    });
    expect(answer).toBe('done');
    const other = await connect(path, 'read');
    expect(await other.all('SELECT name FROM item')).toEqual([{ name: 'a' }]);
  });

  it.each(['BEGIN', 'BEGIN IMMEDIATE'] as const)('after %s rolls back when its work throws', async (begin) => {
    const connection = await connect(await fileWithItems());
    const thrown = new Error('no');
    const work = connection.transaction(begin, async () => {
      await connection.run("INSERT INTO item (name) VALUES ('a')");
      throw thrown;
    });
    await expect(work).rejects.toBe(thrown);
    expect(await connection.all('SELECT * FROM item')).toEqual([]);
  });

  it('rolls back when a statement fails, and the connection takes the next one', async () => {
    const connection = await connect(await fileWithItems());
    const error = await failure(
      connection.transaction('BEGIN', async () => {
        await connection.run("INSERT INTO item (id, name) VALUES (1, 'a')");
        await connection.run("INSERT INTO item (id, name) VALUES (1, 'b')");
      }),
    );
    expect(error.code).toBe('SQLITE_CONSTRAINT');
    await connection.transaction('BEGIN', () => connection.run("INSERT INTO item (name) VALUES ('c')"));
    expect(await connection.all('SELECT name FROM item')).toEqual([{ name: 'c' }]);
  });

  it('passes on the failure when its rollback finds nothing left to roll back', async () => {
    const connection = await connect(await fileWithItems());
    const thrown = new Error('no');
    const work = connection.transaction('BEGIN', async () => {
      await connection.run('ROLLBACK');
      throw thrown;
    });
    await expect(work).rejects.toBe(thrown);
  });
});

describe('an error', () => {
  it('of a statement names SQLite’s code, the file and the statement', async () => {
    const path = await fileWithItems();
    const connection = await connect(path);
    const sql = 'INSERT INTO item (name) VALUES (?)';
    const error = await failure(connection.run(sql, [null]));
    expect(error).toMatchObject({
      name: 'SqliteError',
      code: 'SQLITE_CONSTRAINT',
      message: `SQLITE_CONSTRAINT: NOT NULL constraint failed: item.name (${path}: ${sql})`,
    });
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('of a statement that cannot be prepared is thrown at every attempt, from all, run and exec', async () => {
    const path = await newFile();
    const connection = await connect(path);
    const sql = 'SELECT * FROM missing';
    for (const work of [() => connection.all(sql), () => connection.run(sql), () => connection.exec(sql)]) {
      for (const _ of ['first', 'second']) {
        const error = await failure(work());
        expect(error.code).toBe('SQLITE_ERROR');
        expect(error.message).toContain('no such table: missing');
        expect(error.message).toContain(`(${path}: ${sql})`);
      }
    }
  });

  it('about a missing table does not recur once the table exists', async () => {
    const connection = await connect(await newFile());
    await failure(connection.all('SELECT n FROM late'));
    await connection.exec('CREATE TABLE late (n INTEGER); INSERT INTO late VALUES (7);');
    expect(await connection.all('SELECT n FROM late')).toEqual([{ n: 7 }]);
  });

  it('of a long statement shows its first 120 characters', async () => {
    const path = await fileWithItems();
    const connection = await connect(path);
    const sql = `INSERT INTO item (name) VALUES ('a'), ('b'), ${"('c'), ".repeat(20)}(NULL)`;
    expect((await failure(connection.run(sql))).message).toContain(`(${path}: ${sql.slice(0, 120)}…)`);
  });

  it('of a file that cannot be opened names it', async () => {
    const path = await newFile();
    const error = await failure(Connection.open(path, 'read'));
    expect(error.code).toBe('SQLITE_CANTOPEN');
    expect(error.message).toContain(`(opening ${path})`);
  });

  it('of a file that is not a database is thrown at the first statement', async () => {
    const path = await newFile();
    await writeFile(path, 'This is a text, and not a short one. '.repeat(100));
    const connection = await connect(path);
    expect((await failure(connection.all('SELECT name FROM sqlite_schema'))).code).toBe('SQLITE_NOTADB');
  });

  it('is thrown when a reader tries to write', async () => {
    const connection = await connect(await fileWithItems(), 'read');
    const error = await failure(connection.run("INSERT INTO item (name) VALUES ('a')"));
    expect(error.code).toBe('SQLITE_READONLY');
  });
});

describe('an interrupt', () => {
  it('makes running statements fail, and leaves the connection usable', async () => {
    const connection = await connect(await fileWithItems());
    const endless = connection.all(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n',
    );
    const running = failure(endless);
    const timer = setInterval(() => {
      connection.interrupt();
    }, 5);
    expect((await running).code).toBe('SQLITE_INTERRUPT');
    clearInterval(timer);
    expect(await connection.all('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

describe('closing', () => {
  it('waits for running statements', async () => {
    const path = await fileWithItems();
    const connection = await Connection.open(path, 'write');
    const writes = Array.from({ length: 20 }, (_, i) =>
      connection.run('INSERT INTO item (name) VALUES (?)', [`item ${i}`]),
    );
    await Promise.all([...writes, connection.close()]);
    const other = await connect(path, 'read');
    expect(await other.all('SELECT count(*) AS count FROM item')).toEqual([{ count: 20 }]);
  });
});
