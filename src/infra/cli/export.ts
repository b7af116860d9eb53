import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Config } from '../config.js';
import type { LogError } from '../eventlog/errors.js';
import { exportLog, type ExportListener } from '../transfer/export-log.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** Damaged events shown one by one; the rest are counted. */
const MAX_SHOWN = 20;

/** `sheratan export`: the log as NDJSON, to a file or to stdout. Resolves with the exit code. */
export async function runExport(path: string | undefined, skipDamaged: boolean, config: Config): Promise<number> {
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
  const count = await withLog(config, false, async (log) => {
    try {
      return path === undefined
        ? await exportLog(log, process.stdout, listener)
        : await toFile(path, (output) => exportLog(log, output, listener));
    } finally {
      progress.stop();
    }
  });
  process.stderr.write(`${count} events exported${damaged > 0 ? `, ${damaged} damaged left out` : ''}\n`);
  return damaged === 0 ? 0 : 1;
}

/** Writes a file whole or not at all: temp, fsync, rename, fsync of the folder. */
async function toFile<R>(path: string, write: (output: Writable) => Promise<R>): Promise<R> {
  const temporary = `${path}.partial`;
  try {
    const output = createWriteStream(temporary, { flush: true });
    const done = finished(output);
    done.catch(() => undefined);
    const result = await Promise.race([
      write(output),
      done.then(() => Promise.reject(new Error('the file was closed'))),
    ]);
    output.end();
    await done;
    await rename(temporary, path);
    const folder = await open(dirname(path), 'r');
    await folder.sync().finally(() => folder.close());
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
