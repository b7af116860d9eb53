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
import { hostsOf, hostsOfCore, warn } from './read-back.js';

/** How long to wait for a core that is stopping, in milliseconds. */
const LOCK_WAIT_MS = 1_000;

/** `sheratan restore --repair`: repairs the log of a stopped core from the hosts. Resolves with the exit code. @throws CliError */
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
    throw new CliError(`A core runs on ${paths.folder}. Stop it first: its log must not be written during a repair.`);
  const { origin, authKey } = config.offgrid;
  const clients = new HostClients(authKey, systemClock);
  const progress = new PartsProgress('repair');
  try {
    const hosts = await hostsOfCore(given, config).catch((error: unknown) => {
      // The outbox may be damaged too: then the settings name the hosts.
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
        onTrouble: warn,
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
    print(`${path} is intact up to position ${events}: there is nothing to repair`);
    return;
  }
  for (const row of mended) print(describe(row));
  print(`${mended.length} events repaired; ${events} events read and found intact`);
  for (const { url, host, head } of agree)
    print(`the same as what ${url} (${host}) signed for, up to event ${head.tree?.value.sequence ?? 0}`);
  print(`The damaged file is kept: ${kept}. Delete it when you no longer need it.`);
  const isOutboxBehind = mended.some(({ fetched }) => fetched === undefined);
  if (isOutboxBehind) print('The outbox had folded lost events: rebuild it with `sheratan replay outbox`.');
  print('Verify the read models: sheratan verify');
}

function describe({ position, stream, revision, type, fetched }: Mended): string {
  const place = `position ${position} (revision ${revision} of '${stream}')`;
  if (fetched === undefined) return `${place}: emptied, because events of this kind are kept nowhere else`;
  const { event, from } = fetched;
  return `${place}: ${type}, event ${event.sequence}, from ${from}`;
}
