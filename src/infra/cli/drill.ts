import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { missions } from '../../projections/missions.js';
import type { Config } from '../app/config.js';
import type { RootKey } from '../crypto/root-key.js';
import { compareLogs } from '../offgrid/restore/compare-logs.js';
import { digestAt } from '../projector/verify.js';
import { CliError } from './errors.js';
import { knownQuorum } from './known-hosts.js';
import { withLog } from './open-log.js';
import { showProgress, withProgress } from './progress.js';
import { hostsOfCore, readFromHosts, reportRead } from './read-back.js';
import { ScratchLogs } from './scratch-logs.js';

/** The options of `sheratan restore --drill`. */
export interface DrillOptions {
  readonly hosts?: string;
  readonly dishonestWeight: number;
}

/**
 * `sheratan restore --drill`: restores into a scratch folder beside a core that may run, and compares event by event. The
 * exit code is 0 only when the history is this core's and not shorter than what this core knows to be at quorum. It claims
 * nothing at the hosts and writes only to the scratch folder. @throws CliError
 */
export async function runDrill(
  root: RootKey,
  { hosts: given, dishonestWeight }: DrillOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const startedAt = performance.now();
  const quorum = await withLog(config, false, (own) => knownQuorum(own, config));
  const hosts = await hostsOfCore(given, config);
  const scratch = await mkdtemp(join(config.dataDir, '.drill-'));
  const logs = new ScratchLogs(scratch);
  try {
    const { log, length, ...read } = await readFromHosts({ hosts, dishonestWeight }, root, config, logs);
    reportRead({ ...read, log, length }, startedAt, print);
    const progress = showProgress('comparison', 'events');
    const [found, ours] = await withLog(config, false, async (own) => {
      const compared = await compareLogs(log, length, own, (done, of) => {
        progress.update(done, of);
      });
      progress.stop();
      const { position } = compared;
      const digest = () =>
        withProgress('digest of this core', (update) => digestAt(scratch, missions, own, position, update));
      return [compared, compared.same === length ? await digest() : ''] as const;
    });
    if (found.isOther) {
      print(`DIFFERENT: event ${found.same + 1} of the hosts is not event ${found.same + 1} of this core`);
      return 1;
    }
    if (found.same < length)
      throw new CliError(
        `The hosts have ${length} events and this log has only ${found.same}: this log is older than what was shipped.`,
        1,
      );
    const head = await log.head();
    const theirs = await withProgress('digest of the hosts', (update) =>
      digestAt(scratch, missions, log, head, update),
    );
    print(`from hosts    ${theirs}`);
    print(`this core     ${ours}`);
    if (theirs !== ours) print('DIFFERENT: the same events give another digest on this core');
    else if (length < quorum)
      print(`TOO FEW: this core knows that ${quorum} events are at quorum, but the hosts give back only ${length}`);
    else print(`the same: ${length} events could be restored`);
    return theirs === ours && length >= quorum ? 0 : 1;
  } finally {
    await logs.close();
    await rm(scratch, { recursive: true, force: true });
  }
}
