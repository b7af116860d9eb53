import type { Config } from '../app/config.js';
import type { RootKey } from '../crypto/root-key.js';
import { restoreCore } from '../maintenance/restore-core.js';
import { StagingFolder } from '../offgrid/restore/staging-folder.js';
import { secondsSince, systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { runDrill } from './drill.js';
import { CliError } from './errors.js';
import { ShownWatch } from './progress.js';
import { hostsOf, reportRead } from './read-back.js';
import { rootKey } from './recovery-key.js';
import { runRepair } from './repair.js';
import { onStderr } from './stderr-logger.js';

/** The most events of a read model that are reported one by one because they could not be folded. */
const MAX_NAMED = 20;

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
  return restore(root, options, config, print);
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
        ? 'A repair works on a log in the data folder, but this log is on a server. To repair the log in the folder, unset SHERATAN_EVENTSTORE_URL.'
        : drill
          ? 'A drill compares the hosts with a log in the data folder, but this log is on a server. Unset SHERATAN_EVENTSTORE_URL to compare them with the log in the folder.'
          : 'A restore works on a data folder, but this log is on a server. Unset SHERATAN_EVENTSTORE_URL, restore, then move the log to the server with `sheratan copy`.',
    );
}

async function restore(
  root: RootKey,
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const startedAt = performance.now();
  const { folder } = corePaths(config.dataDir);
  const { dishonestWeight, history } = options;
  const { origin, authKey, keyPassphrase: passphrase } = config.offgrid;
  const watch = new ShownWatch('restore');
  const { onProgress, onTrouble } = watch;
  let named = 0;
  const length = await restoreCore(
    {
      ...{ folder, passphrase, root, origin, authKey, dishonestWeight, hosts: hostsOf(options.hosts, config) },
      acceptLoss: options.acceptLoss !== undefined,
      ...(history === undefined ? {} : { history }),
    },
    {
      onProgress,
      onTrouble,
      onRead: (read) => {
        watch.stop();
        reportRead(read, startedAt, print);
      },
      onSkipped: (name, { eventId, type, message }) => {
        named += 1;
        if (named <= MAX_NAMED) print(`${name}: event ${eventId ?? ''} (${type ?? ''}) has no effect: ${message}`);
      },
      onBuilt: ({ name, skipped, stoppedAt }) => {
        watch.stop();
        named = 0;
        if (stoppedAt !== undefined)
          print(`${name}: stopped at event ${stoppedAt.eventId ?? ''}. NEWER_EVENT: ${stoppedAt.message}`);
        if (skipped > 0)
          print(`${name}: events that could not be folded: ${skipped}; each keeps its place and its number`);
      },
      onModels: (digest) => {
        print(`missions      ${digest}`);
      },
    },
    { clock: systemClock, logger: onStderr('error') },
  ).finally(watch.stop);
  const total = secondsSince(startedAt);
  print(`${length} events restored into ${folder} in ${total} s. Start the core.`);
  return 0;
}
