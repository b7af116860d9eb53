import { ConfigError } from '../app/config.js';
import { KeyringError } from '../crypto/keyring-file.js';
import { LogError } from '../eventlog/errors.js';
import { MaintenanceError } from '../maintenance/errors.js';
import { RepairError, RestoreError } from '../offgrid/restore/errors.js';
import { FoldError } from '../projector/batch-folder.js';
import { ProjectionError } from '../projector/errors.js';
import { CopyError } from '../transfer/copy-log.js';

/** The exit code of an error that an operator must correct: another start would fail in the same way. */
export const CONFIG_EXIT_CODE = 78;

/** An error whose message is meant for the operator. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(message: string, exitCode = CONFIG_EXIT_CODE) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Errors whose message is complete for an operator. */
const FOR_OPERATORS = [ConfigError, CliError, MaintenanceError, RestoreError, RepairError, CopyError];

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'the port is in use: stop the program that uses it, or choose another port: pass --port to a host or broker, or set SHERATAN_PORT to another port for a core',
  EADDRNOTAVAIL: 'this machine does not have that address: set SHERATAN_BIND to an address of this machine',
  EACCES: 'permission denied: choose a port above 1023, or a folder that you can write to (SHERATAN_DATA_DIR)',
  EROFS: 'the folder is read-only: set SHERATAN_DATA_DIR to a folder that can be written',
  ENOSPC: 'the disk is full: free space, or use another disk',
  ENOENT: 'the file or folder does not exist: check the path',
  ENOTDIR: 'a file is in the place of a folder: move the file, or name another folder',
  EEXIST: 'a file is in the place of a folder: move the file, or set SHERATAN_DATA_DIR to another folder',
  EISDIR: 'a folder is in the place of a file: name another file',
  SQLITE_CANTOPEN: 'check that the folder can be written, or set SHERATAN_DATA_DIR to another folder',
  SQLITE_READONLY: 'the file or its folder is read-only: make it writable, or set SHERATAN_DATA_DIR to another folder',
  SQLITE_FULL: 'the disk is full: free space, or set SHERATAN_DATA_DIR to a folder on another disk',
  SQLITE_NOTADB:
    'the file is damaged: if it is a lock, delete it (a lock holds no data); otherwise restore it from a copy',
  ENOTFOUND: 'the host name is unknown: set SHERATAN_BIND to an address of this machine',
};

/** The exit code of an error that has a message for the operator. After a repair that failed, another may succeed. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof RepairError) return 1;
  return error instanceof CliError ? error.exitCode : CONFIG_EXIT_CODE;
}

/** The message of an error for the operator: one line, with what to do. Undefined for a defect, which needs its stack. */
export function explain(error: unknown): string | undefined {
  // Messages of SQLite, and the statements that they quote, may have several lines.
  return explanation(error)?.replace(/\s*\n\s*/g, ' ');
}

function explanation(error: unknown): string | undefined {
  if (error instanceof Error && FOR_OPERATORS.some((type) => error instanceof type)) return error.message;
  if (error instanceof LogError || error instanceof ProjectionError || error instanceof KeyringError)
    return `${error.code}: ${error.message}`;
  if (error instanceof FoldError) return `${error.code}: event ${error.event.id}: ${error.message}`;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const advice = SYSTEM_ERRORS[error.code];
    if (advice !== undefined) return `${error.message} (${advice})`;
  }
  return undefined;
}
