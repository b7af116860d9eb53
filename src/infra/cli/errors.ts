import { ConfigError } from '../app/config.js';
import { KeyringError } from '../crypto/keyring-file.js';
import { LogError } from '../eventlog/errors.js';
import { FoldError } from '../projector/batch-folder.js';
import { ProjectionError } from '../projector/errors.js';

/** The exit code of what only a person can mend: starting again would fail again. */
export const CONFIG_EXIT_CODE = 78;

/** An error whose message is meant for the person at the terminal. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(message: string, exitCode = CONFIG_EXIT_CODE) {
    super(message);
    this.exitCode = exitCode;
  }
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'that port is in use: stop what uses it, or choose another: --port of a host or broker, for a core set SHERATAN_PORT to another',
  EADDRNOTAVAIL: 'this machine has no such address: set SHERATAN_BIND to one of its own',
  EACCES: 'permission denied: choose a port above 1023, or a folder you may write (SHERATAN_DATA_DIR)',
  EROFS: 'the folder is read-only: set SHERATAN_DATA_DIR to one that can be written',
  ENOSPC: 'the disk is full: free space, or use another disk',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a folder is needed where a file is: move that file, or name another folder',
  EEXIST: 'a folder is needed where a file is: move that file, or set SHERATAN_DATA_DIR to another folder',
  EISDIR: 'a file is needed where a folder is: name another file',
  SQLITE_CANTOPEN: 'check that the folder may be written, or set SHERATAN_DATA_DIR to another',
  SQLITE_READONLY: 'the file or its folder is read-only: make it writable, or set SHERATAN_DATA_DIR to another folder',
  SQLITE_FULL: 'the disk is full: free space, or set SHERATAN_DATA_DIR to another disk',
  SQLITE_NOTADB: 'the file is damaged: delete it if it is a lock, which holds nothing, or restore it from a copy',
  ENOTFOUND: 'that host name is not known: set SHERATAN_BIND to an address of this machine',
};

/** What a person is told of an error: one line that says what to do, or nothing for a defect, which needs its stack. */
export function explain(error: unknown): string | undefined {
  // SQLite's messages, and statements quoted with them, may have several.
  return explanation(error)?.replace(/\s*\n\s*/g, ' ');
}

function explanation(error: unknown): string | undefined {
  if (error instanceof ConfigError || error instanceof CliError) return error.message;
  if (error instanceof LogError || error instanceof ProjectionError || error instanceof KeyringError)
    return `${error.code}: ${error.message}`;
  if (error instanceof FoldError) return `${error.code}: event ${error.event.id}: ${error.message}`;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const advice = SYSTEM_ERRORS[error.code];
    if (advice !== undefined) return `${error.message} (${advice})`;
  }
  return undefined;
}
