import { describe, expect, it } from 'vitest';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import { toLogError } from '../../../src/infra/eventlog/embedded/log-file.js';
import { LogError } from '../../../src/infra/eventlog/errors.js';
import { errorAnswer } from '../../../src/infra/services/error-answer.js';
import { SqliteError } from '../../../src/infra/sqlite/connection.js';

const PATHS = [
  './data/core/log.db',
  'data/core/log.db',
  '/var/lib/sheratan/core/log.db',
  '/srv/the data (old)/core/log.db',
  '/srv/(SQLITE_FULL) $& ü/core/log.db',
  '/log.db',
];

/** An error of SQLite about a file, as a connection throws it. */
function sqliteError(code: string, path: string): SqliteError {
  return new SqliteError(
    Object.assign(new Error(`${code}: it failed`), { code }),
    `${path}: SELECT secret FROM events`,
  );
}

describe('the answer to a client for a failure of the log', () => {
  const cases: [sqlite: string, code: string, status: number, message: string][] = [
    [
      'SQLITE_FULL',
      'LOG_FULL',
      507,
      'The disk that holds log.db is full; nothing was written. Free space and try again.',
    ],
    ['SQLITE_READONLY', 'LOG_READONLY', 503, 'log.db cannot be written; make the file and its folder writable.'],
    ['SQLITE_CANTOPEN', 'LOG_READONLY', 503, 'log.db cannot be opened; check that its folder exists and is writable.'],
    ['SQLITE_BUSY', 'LOG_BUSY', 503, 'Another process has locked log.db for writing; try again.'],
    [
      'SQLITE_CORRUPT',
      'LOG_CORRUPT',
      503,
      'log.db is damaged. Stop the core and run `sheratan restore --repair`, or restore the file from a copy; `sheratan export --skip-damaged` saves the events that can still be read.',
    ],
    ['SQLITE_IOERR', 'LOG_FAILED', 503, 'log.db could not be read or written.'],
  ];

  it.each(cases)('for %s is %s, without the path of the file', (sqlite, code, status, message) => {
    for (const path of PATHS) {
      expect(errorAnswer(toLogError(sqliteError(sqlite, path), path))).toEqual({ status, code, message });
    }
  });

  it('is the complete message, when no file is named', () => {
    const answer = { status: 503, code: 'LOG_CLOSED', message: 'The log is closed (at /home).' };
    expect(errorAnswer(new LogError('LOG_CLOSED', answer.message))).toEqual(answer);
  });

  it('does not name the folder of a file that is no log', async () => {
    const failure: unknown = await EmbeddedLog.open('/dev/null/core/log.db', { now: () => new Date() }).catch(
      (error: unknown) => error,
    );
    expect(errorAnswer(failure)).toMatchObject({
      code: 'LOG_READONLY',
      message: expect.stringMatching(/^log\.db cannot/),
    });
  });
});
