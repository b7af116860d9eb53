import type { Config } from '../app/config.js';
import { writeKeyring } from '../crypto/keyring-file.js';
import type { RootKey } from '../crypto/root-key.js';
import { appendFact } from '../offgrid/replication/replication-events.js';
import { WriterFile } from '../offgrid/replication/writer-file.js';
import { RestoreError } from '../offgrid/restore/errors.js';
import { restoredFact, restoredWriter } from '../offgrid/restore/restore.js';
import { StagingFolder } from '../offgrid/restore/staging-folder.js';
import { systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { newId } from '../platform/ids.js';
import { buildModels } from './build-models.js';
import { runDrill } from './drill.js';
import { CliError } from './errors.js';
import { hostsOf, readFromHosts, reportRead } from './read-back.js';
import { rootKey } from './recovery-key.js';
import { runRepair } from './repair.js';
import { ScratchLogs } from './scratch-logs.js';

/** The actor of the one event that a restore itself records. */
const ACTOR = 'process:restore';

/** The options of `sheratan restore`. */
export interface RestoreOptions {
  /** `url#fingerprint,…`; by default the hosts of the settings. */
  readonly hosts?: string;
  readonly key?: string;
  /** The name of the origin, typed to confirm. */
  readonly acceptLoss?: string;
  /** The first digits of the root of the chosen history. */
  readonly history?: string;
  readonly dishonestWeight: number;
  readonly drill: boolean;
  /** Repair the log in the data folder instead. */
  readonly repair: boolean;
}

/** `sheratan restore`: restores a core from what the hosts have. Resolves with the exit code. @throws CliError, KeyringError */
export async function runRestore(
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  assertOptions(options, config);
  // An interrupted restore may have set aside the folder that has the keyring.
  await StagingFolder.recover(corePaths(config.dataDir).folder);
  const root = await rootKey(options.key ?? process.env['SHERATAN_RECOVERY_KEY'], config);
  if (options.repair) return runRepair(root, options, config, print);
  if (options.drill) return runDrill(root, options, config, print);
  try {
    return await restoreCore(root, options, config, print);
  } catch (error) {
    throw error instanceof RestoreError ? new CliError(error.message) : error;
  }
}

/** @throws CliError */
function assertOptions({ repair, drill, acceptLoss, history }: RestoreOptions, { eventStore, offgrid }: Config): void {
  if (repair && drill) throw new CliError('Pass --repair or --drill, not both.');
  if ((repair || drill) && acceptLoss !== undefined)
    throw new CliError('--accept-loss is only for a restore into an empty folder. Omit it for a drill or a repair.');
  if (history !== undefined && acceptLoss === undefined)
    throw new CliError('--history chooses a history only when a loss is accepted. Pass --accept-loss as well.');
  if (history !== undefined && !/^[0-9a-f]{8,64}$/.test(history))
    throw new CliError(`--history: '${history}' must be 8–64 hexadecimal digits of a root, as the restore listed it`);
  if (acceptLoss !== undefined && acceptLoss !== offgrid.origin)
    throw new CliError(
      `--accept-loss: '${acceptLoss}' must be '${offgrid.origin}', the origin: what only missing hosts have is given up permanently`,
    );
  if (eventStore !== undefined)
    throw new CliError(
      repair
        ? 'A repair works on a log in the data folder, but this log is on a server. To repair the log in the folder, unset EVENTSTORE_URL.'
        : drill
          ? 'A drill compares the hosts with a log in the data folder, but this log is on a server. Unset EVENTSTORE_URL to compare them with the log in the folder.'
          : 'A restore works on a data folder, but this log is on a server. Unset EVENTSTORE_URL, restore, then move the log to the server with `sheratan copy`.',
    );
}

async function restoreCore(
  root: RootKey,
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const startedAt = performance.now();
  const { folder } = corePaths(config.dataDir);
  const staging = await StagingFolder.open(folder);
  const { paths } = staging;
  const logs = new ScratchLogs(paths.folder);
  const { dishonestWeight, history } = options;
  const request = {
    hosts: hostsOf(options.hosts, config),
    dishonestWeight,
    acceptLoss: options.acceptLoss !== undefined,
    ...(history === undefined ? {} : { history }),
  };
  try {
    const read = await readFromHosts(request, root, config, logs);
    reportRead(read, startedAt, print);
    const { origin, keyPassphrase } = config.offgrid;
    const by = { at: systemClock.now().toISOString(), actor: ACTOR, correlationId: newId() };
    await appendFact(read.log, restoredFact(read, { origin, dishonestWeight }), by);
    print(`missions      ${await buildModels(paths, read.log, print)}`);
    await logs.keep(read.log, paths.log);
    await writeKeyring(paths.keyring, root, keyPassphrase);
    await new WriterFile(paths.writer).save(restoredWriter(read));
    await staging.finish();
    const total = ((performance.now() - startedAt) / 1_000).toFixed(1);
    print(`${read.length} events restored into ${folder} in ${total} s. Start the core.`);
    return 0;
  } catch (error) {
    await logs.close().catch(() => undefined);
    await staging.discard();
    throw error;
  }
}
