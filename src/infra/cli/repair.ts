import type { Config } from '../app/config.js';
import type { RootKey } from '../crypto/root-key.js';
import { HostClients } from '../offgrid/protocol/host-clients.js';
import { RepairError } from '../offgrid/restore/errors.js';
import { repair, type Mended, type Repaired } from '../offgrid/restore/repair.js';
import { systemClock, systemTime } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { SqliteError } from '../sqlite/connection.js';
import { ProcessLock } from '../sqlite/process-lock.js';
import { CliError } from './errors.js';
import { assertLog } from './open-log.js';
import { PartsProgress } from './progress.js';
import { hostsOf, hostsOfCore, tell } from './read-back.js';

/** How long a core that is stopping is waited for, in milliseconds. */
const LOCK_WAIT_MS = 1_000;

/** `sheratan restore --repair`: mends the log of a stopped core from what the hosts have. Resolves with the exit code. */
export async function runRepair(
  root: RootKey,
  { hosts: given, dishonestWeight }: { readonly hosts?: string; readonly dishonestWeight: number },
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  await assertLog(config);
  const paths = corePaths(config.dataDir);
  const lock = await ProcessLock.take(paths.missionsLock, LOCK_WAIT_MS);
  if (lock === undefined)
    throw new CliError(
      `A core runs on ${paths.folder}. Stop it, then repair its log: it must not be written meanwhile.`,
    );
  const { origin, authKey } = config.offgrid;
  const clients = new HostClients(authKey, systemClock);
  const progress = new PartsProgress('repair');
  try {
    const hosts = await hostsOfCore(given, config).catch((error: unknown) => {
      // An outbox that is damaged too knows no hosts.
      if (error instanceof SqliteError) return hostsOf(given, config);
      throw error;
    });
    const repaired = await repair(
      { log: paths.log, outbox: paths.outbox, origin, root, hosts, dishonestWeight },
      {
        clientOf: (url, host) => clients.of(url, host),
        clock: systemClock,
        time: systemTime(systemClock),
        onProgress: (what, done, of) => {
          progress.update(what, what === 'entries' ? 'entries' : 'positions', done, of);
        },
        onTrouble: tell,
      },
    );
    progress.stop();
    report(paths.log, repaired, print);
    return 0;
  } catch (error) {
    throw error instanceof RepairError ? new CliError(error.message, 1) : error;
  } finally {
    progress.stop();
    clients.close();
    await lock.release();
  }
}

function report(path: string, { mended, events, agree, kept }: Repaired, print: (line: string) => void): void {
  if (kept === undefined) {
    print(`${path} is whole: there is nothing to mend up to position ${events}`);
    return;
  }
  for (const row of mended) print(describe(row));
  print(`${mended.length} events mended; ${events} read and found whole`);
  for (const { url, host, head } of agree)
    print(`the same as ${url} (${host}) signed for, up to event ${head.tree?.value.sequence ?? 0}`);
  print(`The damaged file is kept: ${kept}. Delete it when you no longer want it.`);
  const isOutboxBehind = mended.some(({ fetched }) => fetched === undefined);
  if (isOutboxBehind)
    print('What was lost had been folded by the outbox: build it anew with `sheratan replay outbox`.');
  print('Prove the read models: sheratan verify');
}

function describe({ position, stream, revision, type, fetched }: Mended): string {
  const place = `position ${position} (revision ${revision} of '${stream}')`;
  if (fetched === undefined) return `${place}: emptied, for events of its kind are kept nowhere else`;
  const { event, from } = fetched;
  return `${place}: ${type}, event ${event.sequence}, from ${from}`;
}
