import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CliError, CONFIG_EXIT_CODE, explain } from '../../../src/infra/cli/errors.js';
import { ConfigError } from '../../../src/infra/app/config.js';
import { LogError } from '../../../src/infra/eventlog/errors.js';
import { ProjectionError } from '../../../src/infra/projector/errors.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newDataDir } from '../../support/core.js';

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  );

describe('the message of an error for the operator', () => {
  it('is its message, with its code where it has one of ours', () => {
    expect(explain(new ConfigError('SHERATAN_PORT: must be a port'))).toBe('SHERATAN_PORT: must be a port');
    expect(explain(new CliError('Name a file.'))).toBe('Name a file.');
    expect(explain(new LogError('LOG_FULL', 'The disk is full.'))).toBe('LOG_FULL: The disk is full.');
    expect(explain(new ProjectionError('FOREIGN_LOG', 'Of another log.'))).toBe('FOREIGN_LOG: Of another log.');
  });

  it('is one line, however many the message has', () => {
    expect(explain(new LogError('LOG_CORRUPT', 'It is damaged:\n  page 7,\n\n  page 8.'))).toBe(
      'LOG_CORRUPT: It is damaged: page 7, page 8.',
    );
  });

  it('names the file and what to do when the system refuses', async () => {
    const folder = await newDataDir();
    const file = join(folder, 'file');
    await writeFile(file, 'text '.repeat(1_000));
    expect(explain(await failure(mkdir(file)))).toMatch(/file.* \(a file is in the place of a folder: /);
    expect(explain(await failure(mkdir(join(file, 'x'))))).toMatch(/file.* \(a file is in the place of a folder: /);
    expect(explain(await failure(writeFile(folder, '')))).toMatch(/ \(a folder is in the place of a file: /);
    expect(explain(await failure(Connection.open(join(folder, 'no', 'log.db'), 'write')))).toMatch(
      /log\.db.* \(check that the folder can be written/,
    );
    const connection = await Connection.open(file, 'write');
    expect(explain(await failure(connection.run('BEGIN EXCLUSIVE')))).toMatch(
      /file.* \(the file is damaged: if it is a lock, delete/,
    );
    await connection.close();
  });

  it('is nothing for a defect, whose stack is shown instead', () => {
    for (const error of [new Error('x'), new TypeError('y'), 'z', undefined, Object.assign(new Error(), { code: 7 })])
      expect(explain(error)).toBeUndefined();
  });
});

describe('an error for the operator', () => {
  it('ends the process with the code of errors that an operator must correct, unless it has another', () => {
    expect(new CliError('x').exitCode).toBe(CONFIG_EXIT_CODE);
    expect(new CliError('x', 1).exitCode).toBe(1);
  });
});
