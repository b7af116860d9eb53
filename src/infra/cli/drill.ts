import type { Config } from '../app/config.js';
import type { RootKey } from '../crypto/root-key.js';
import { drill } from '../maintenance/drill.js';
import { knownQuorum } from '../maintenance/known-hosts.js';
import { systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { ShownWatch } from './progress.js';
import { hostsOfCore, reportRead } from './read-back.js';

/** The options of `sheratan restore --drill`. */
export interface DrillOptions {
  readonly hosts?: string;
  readonly dishonestWeight: number;
}

/**
 * `sheratan restore --drill`: shows what a restore would give back, beside a core that may run. The exit code is 0 only when
 * the history is this core's and not shorter than what this core knows to be at quorum. @throws CliError, RestoreError
 */
export async function runDrill(
  root: RootKey,
  { hosts: given, dishonestWeight }: DrillOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const startedAt = performance.now();
  const { outbox } = corePaths(config.dataDir);
  const quorum = await withLog(config, false, ({ logId }) => knownQuorum(outbox, logId));
  const hosts = await hostsOfCore(given, config);
  const { origin, authKey } = config.offgrid;
  const watch = new ShownWatch('drill');
  const { onProgress, onTrouble } = watch;
  const found = await drill(
    {
      ...{ hosts, dishonestWeight, origin, root, authKey, quorum, dataDir: config.dataDir },
      withLog: (work) => withLog(config, false, work),
    },
    {
      onProgress,
      onTrouble,
      onRead: (read) => {
        watch.stop();
        reportRead(read, startedAt, print);
      },
    },
    systemClock,
  ).finally(watch.stop);
  if (found.verdict === 'OTHER_EVENT') {
    print(`DIFFERENT: event ${found.same + 1} of the hosts is not event ${found.same + 1} of this core`);
    return 1;
  }
  if (found.verdict === 'OLDER')
    throw new CliError(
      `The hosts have ${found.length} events and this log has only ${found.same}: this log is older than what was shipped.`,
      1,
    );
  const { verdict, length, theirs, ours } = found;
  print(`from hosts    ${theirs}`);
  print(`this core     ${ours}`);
  if (verdict === 'OTHER_DIGEST') print('DIFFERENT: the same events give another digest on this core');
  else if (verdict === 'TOO_FEW')
    print(`TOO FEW: this core knows that ${quorum} events are at quorum, but the hosts give back only ${length}`);
  else print(`the same: ${length} events could be restored`);
  return verdict === 'SAME' ? 0 : 1;
}
