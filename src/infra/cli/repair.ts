import type { Config } from '../app/config.js';
import type { RootKey } from '../crypto/root-key.js';
import { repairLog } from '../maintenance/repair-log.js';
import type { Mended, Repaired } from '../offgrid/restore/repair.js';
import { systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { SqliteError } from '../sqlite/connection.js';
import { assertLog } from './open-log.js';
import { ShownWatch } from './progress.js';
import { hostsOf, hostsOfCore } from './read-back.js';

/** `sheratan restore --repair`: repairs the log of a stopped core from the hosts. Resolves with the exit code. @throws CliError, MaintenanceError, RepairError */
export async function runRepair(
  root: RootKey,
  { hosts: given, dishonestWeight }: { readonly hosts?: string; readonly dishonestWeight: number },
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  await assertLog(config);
  const paths = corePaths(config.dataDir);
  const hosts = await hostsOfCore(given, config).catch((error: unknown) => {
    // The outbox may be damaged too: then the settings name the hosts.
    if (error instanceof SqliteError) return hostsOf(given, config);
    throw error;
  });
  const { origin, authKey } = config.offgrid;
  const watch = new ShownWatch('repair');
  const repaired = await repairLog(
    { paths, authKey, origin, root, hosts, dishonestWeight },
    watch,
    systemClock,
  ).finally(watch.stop);
  report(paths.log, repaired, print);
  return 0;
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
