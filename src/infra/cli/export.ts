import { createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Config } from '../app/config.js';
import type { LogError } from '../eventlog/errors.js';
import { corePaths } from '../platform/core-paths.js';
import { syncFolder } from '../platform/files.js';
import { exportLog, type ExportListener } from '../transfer/export-log.js';
import { OF_COMMANDS, replicatedPosition } from '../transfer/unreplicated.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** The most damaged events that are reported one by one; further ones are only counted. */
const MAX_SHOWN = 20;

/** The options of `sheratan export`. */
export interface ExportOptions {
  readonly skipDamaged: boolean;
  /** Export only events of missions, tasks and jobs that no quorum has signed for. */
  readonly unreplicated: boolean;
}

/** `sheratan export`: writes the log as NDJSON to a file or to stdout. Resolves with the exit code. @throws CliError */
export async function runExport(
  path: string | undefined,
  { skipDamaged, unreplicated }: ExportOptions,
  config: Config,
): Promise<number> {
  const progress = showProgress('export', 'positions');
  let damaged = 0;
  const listener: ExportListener = {
    onProgress: (position, head) => progress.update(Number(position), Number(head)),
    ...(skipDamaged && {
      onDamaged: ({ message }: LogError) => {
        damaged += 1;
        if (damaged <= MAX_SHOWN) process.stderr.write(`left out: ${message}\n`);
      },
    }),
  };
  let after = 0n;
  const count = await withLog(config, false, async (log) => {
    if (unreplicated) after = await replicatedPosition(corePaths(config.dataDir).outbox, log.logId);
    const part = unreplicated ? { after, filter: OF_COMMANDS } : {};
    try {
      return path === undefined
        ? await exportLog(log, process.stdout, listener, part)
        : await toFile(path, (output) => exportLog(log, output, listener, part));
    } finally {
      progress.stop();
    }
  });
  const which = unreplicated
    ? ` of missions, tasks and jobs after position ${after}, which no quorum has signed for,`
    : '';
  const leftOut = damaged > 0 ? `, ${damaged} damaged left out` : '';
  process.stderr.write(`${count} events${which} exported${leftOut}\n`);
  return damaged === 0 ? 0 : 1;
}

/** Writes a complete file or none: temporary file, fsync, rename, fsync of the folder. A device or pipe is written directly. */
async function toFile<R>(path: string, write: (output: Writable) => Promise<R>): Promise<R> {
  const target = await realpath(path).catch(() => path);
  const found = await stat(target).catch(() => undefined);
  if (found?.isDirectory()) throw new CliError(`${path} is a folder. Name a file to write to.`);
  if (found?.isFile() === false) return written(createWriteStream(target), write);
  const temporary = `${target}.partial`;
  try {
    const result = await written(createWriteStream(temporary, { flush: true }), write);
    await rename(temporary, target);
    await syncFolder(dirname(target));
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Writes a stream to its end; rejects as soon as the stream fails. */
async function written<R>(output: Writable, write: (output: Writable) => Promise<R>): Promise<R> {
  const done = finished(output);
  done.catch(() => undefined);
  const result = await Promise.race([
    write(output),
    done.then(() => Promise.reject(new Error('the output was closed'))),
  ]);
  output.end();
  await done;
  return result;
}
