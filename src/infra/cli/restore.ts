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

/** Whom the one event is by that a restore records itself. */
const ACTOR = 'process:restore';

/** What `sheratan restore` is told. */
export interface RestoreOptions {
  /** `url#fingerprint,…`; those of the settings unless given. */
  readonly hosts?: string;
  readonly key?: string;
  /** The name of the origin, typed to be sure. */
  readonly acceptLoss?: string;
  /** The first digits of the root of the history that is chosen. */
  readonly history?: string;
  readonly dishonestWeight: number;
  readonly drill: boolean;
  /** Mends the log that is there instead. */
  readonly repair: boolean;
}

/** `sheratan restore`: a whole core from what the hosts have. Resolves with the exit code. */
export async function runRestore(
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  assertOptions(options, config);
  // The keyring may be in the folder that was there before.
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
  if (repair && drill) throw new CliError('Give --repair or --drill, not both.');
  if ((repair || drill) && acceptLoss !== undefined)
    throw new CliError('--accept-loss is for a restore into an empty folder; a drill and a repair accept no loss.');
  if (history !== undefined && acceptLoss === undefined)
    throw new CliError('--history chooses what is taken where something is given up: give --accept-loss as well.');
  if (history !== undefined && !/^[0-9a-f]{8,64}$/.test(history))
    throw new CliError(`--history: '${history}' must be 8–64 hexadecimal digits of a root, as they were listed`);
  if (acceptLoss !== undefined && acceptLoss !== offgrid.origin)
    throw new CliError(
      `--accept-loss: '${acceptLoss}' must be '${offgrid.origin}', the origin: what only hosts have that are missing is given up for good`,
    );
  if (eventStore !== undefined)
    throw new CliError(
      repair
        ? 'A repair mends a log in the data folder, and this one is on a server: unset EVENTSTORE_URL to mend the one in the folder.'
        : 'A restore makes a data folder: unset EVENTSTORE_URL, restore, and move the log to the server with `sheratan copy`.',
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
