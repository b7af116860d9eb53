import { access, mkdir } from 'node:fs/promises';
import { openFile, openServer } from '../app/open-log.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { AddressError, isAddress, readAddress } from '../eventlog/eventstore/address.js';
import { secondsSince, systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { copyVerified } from '../transfer/copy-log.js';
import { CliError } from './errors.js';
import { ShownWatch } from './progress.js';
import { onStderr } from './stderr-logger.js';

/** `sheratan copy`: copies a log from a data folder or a server into another. Resolves with the exit code. @throws CliError */
export async function runCopy(from: string, to: string, print: (line: string) => void): Promise<number> {
  if (from === to) throw new CliError('--from and --to name the same log. Name two different logs.');
  const source = await open('--from', from, false);
  try {
    const target = await open('--to', to, true);
    try {
      return await copy(source, target, print);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copy(source: EventLog, target: EventLog, print: (line: string) => void): Promise<number> {
  const startedAt = performance.now();
  const watch = new ShownWatch();
  const verified = await copyVerified(source, target, {
    onProgress: (part, position, head) => {
      watch.onProgress(part, 'positions', Number(position), Number(head));
    },
    onCopied: ({ copied, head }, end) => {
      watch.stop();
      const seconds = secondsSince(startedAt);
      print(`${copied} events copied in ${seconds} s; position ${source.logId}:${head} is now ${target.logId}:${end}`);
    },
  }).finally(watch.stop);
  print(`source  ${verified.source.events} events  ${verified.source.digest}`);
  print(`target  ${verified.target.events} events  ${verified.target.digest}`);
  if (verified.isSame) {
    print('The logs are the same. Start a core on the target with a new data folder: it rebuilds the read models.');
    return 0;
  }
  print('DIFFERENT: do not use the target. Copy again, into an empty log to which nothing else writes.');
  return 1;
}

async function open(option: string, place: string, create: boolean): Promise<EventLog> {
  if (isAddress(place)) {
    try {
      return (await openServer(readAddress(place), onStderr('warn'))).log;
    } catch (error) {
      throw error instanceof AddressError ? new CliError(`${option}: it ${error.message}`) : error;
    }
  }
  const { folder, log } = corePaths(place);
  if (create) await mkdir(folder, { recursive: true });
  else {
    await access(log).catch(() => {
      throw new CliError(`${option}: there is no log at ${log}. Name a data folder, or a server: esdb://host:port`);
    });
  }
  return openFile({ dataDir: place }, systemClock, onStderr('warn'));
}
