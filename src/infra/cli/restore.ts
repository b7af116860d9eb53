import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isReplicated } from '../../domain/event.js';
import { PROJECTIONS } from '../../projections/all.js';
import { missions } from '../../projections/missions.js';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { corePaths, corePathsIn, type CorePaths } from '../core-paths.js';
import { writeKeyring } from '../crypto/keyring-file.js';
import type { RootKey } from '../crypto/root-key.js';
import { newId } from '../commands/ids.js';
import { EmbeddedLog } from '../eventlog/embedded.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { HttpHost } from '../offgrid/replicator/http-host.js';
import { appendFact } from '../offgrid/replicator/log-journal.js';
import { WriterFile } from '../offgrid/replicator/writer-file.js';
import { restore, RestoreError, type Restored, type RestoreGround } from '../offgrid/restore/restore.js';
import { Stage } from '../offgrid/restore/stage.js';
import { readHosts, type HostAddress } from '../offgrid/settings.js';
import { Projector } from '../projector/projector.js';
import { digestAt } from '../projector/verify.js';
import { CliError } from './errors.js';
import { knownHosts } from './known-hosts.js';
import { withLog } from './open-log.js';
import { showProgress, withProgress } from './progress.js';
import { rootKey } from './recovery-key.js';
import { runRepair } from './repair.js';
import { onStderr } from './stderr-logger.js';

/** Whom the one event is by that a restore records itself. */
const ACTOR = 'process:restore';
/** How long a projection is waited for at a time, in milliseconds. */
const LOOK_MS = 500;

/** What `sheratan restore` is told. */
export interface RestoreOptions {
  /** `url#fingerprint,…`; those of the settings unless given. */
  readonly hosts?: string;
  readonly key?: string;
  readonly acceptLoss: boolean;
  readonly liars: number;
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
  if (config.eventStore !== undefined)
    throw new CliError(
      options.repair
        ? 'A repair mends a log in the data folder, and this one is on a server: unset EVENTSTORE_URL to mend the one in the folder.'
        : 'A restore makes a data folder: unset EVENTSTORE_URL, restore, and move the log to the server with `sheratan copy`.',
    );
  const root = await rootKey(options.key ?? process.env['SHERATAN_RECOVERY_KEY'], config);
  if (options.repair) return runRepair(root, hostsOf(options, config), config, print);
  try {
    return await (options.drill ? drill : restoreCore)(root, options, config, print);
  } catch (error) {
    throw error instanceof RestoreError ? new CliError(error.message) : error;
  }
}

async function restoreCore(
  root: RootKey,
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const startedAt = performance.now();
  const stage = await Stage.open(corePaths(config.dataDir).folder);
  const { paths } = stage;
  const newLog = async () => {
    await stage.clear();
    return EmbeddedLog.open(paths.log, systemClock, 'ON_CLOSE');
  };
  const writerOf = (log: EventLog) => `${log.logId}:${randomBytes(8).toString('hex')}`;
  const restored = await readBack(root, options, config, { newLog, writerOf }).catch(async (error: unknown) => {
    await stage.discard();
    throw error;
  });
  const { log, grant, sequence } = restored;
  const seconds = (performance.now() - startedAt) / 1_000;
  report(restored, seconds, print);
  try {
    await putInForce(restored, config.offgrid.origin);
    print(`missions      ${await build(paths, log, print)}`);
  } finally {
    await log.close();
  }
  await writeKeyring(paths.keyring, root, config.offgrid.keyPassphrase);
  if (grant !== undefined) await new WriterFile(paths.writer).save({ ...grant, isElected: true });
  await stage.finish();
  const total = (performance.now() - startedAt) / 1_000;
  print(
    `${sequence} events restored into ${corePaths(config.dataDir).folder} in ${total.toFixed(1)} s. Start the core.`,
  );
  return 0;
}

const NO_QUORUM = { line: 1, hosts: [], quorumSequence: 0, quorumEpoch: 0 };

/** Which policy was in force did not travel: the newest is, or a policy whose hosts are long gone would decide for ever. */
async function putInForce({ log, policy, grant }: Restored, origin: string): Promise<void> {
  if (policy === undefined) return;
  const data = { origin, policyVersion: policy.version, writerEpoch: grant?.epoch ?? 0, ...NO_QUORUM };
  const by = { at: systemClock.now().toISOString(), actor: ACTOR, correlationId: newId() };
  await appendFact(log, { type: 'ReplicasAcknowledged', data }, by);
}

/** Restores into a scratch folder beside a core that may run, and compares. */
async function drill(
  root: RootKey,
  options: RestoreOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const scratch = await mkdtemp(join(config.dataDir, '.drill-'));
  const startedAt = performance.now();
  try {
    const paths = corePathsIn(scratch);
    const newLog = async () => {
      for (const suffix of ['', '-wal', '-shm']) await rm(`${paths.log}${suffix}`, { force: true });
      return EmbeddedLog.open(paths.log, systemClock, 'ON_CLOSE');
    };
    const restored = await readBack(root, options, config, { newLog });
    report(restored, (performance.now() - startedAt) / 1_000, print);
    const { log, sequence } = restored;
    try {
      const theirs = await withProgress('digest of the hosts', async (update) =>
        digestAt(scratch, missions, log, await log.head(), update),
      );
      const ours = await withLog(config, false, async (own) =>
        withProgress('digest of this core', async (update) =>
          digestAt(scratch, missions, own, await positionOf(own, sequence), update),
        ),
      );
      print(`from hosts    ${theirs}`);
      print(`this core     ${ours}`);
      if (theirs === ours) print(`the same: ${sequence} events could be restored`);
      else print('DIFFERENT: what the hosts have is not what this core has');
      return theirs === ours ? 0 : 1;
    } finally {
      await log.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Where the replicated event of a number lies in a log. @throws CliError when it has not so many */
async function positionOf(log: EventLog, sequence: number): Promise<bigint> {
  let count = 0;
  for await (const event of log.readAll()) {
    if (!isReplicated(event)) continue;
    count += 1;
    if (count === sequence) return event.position;
  }
  throw new CliError(`The hosts have ${sequence} events, and this log ${count}: it is older than what was shipped.`);
}

async function readBack(
  root: RootKey,
  options: RestoreOptions,
  config: Config,
  made: Pick<RestoreGround, 'newLog'> & { readonly writerOf?: (log: EventLog) => string },
): Promise<Restored> {
  const { newLog, writerOf } = made;
  const { acceptLoss, liars } = options;
  const hosts = options.drill ? await drilledHosts(options, config) : hostsOf(options, config);
  const { offgrid } = config;
  const progress = showProgress('restore', 'events');
  const request = { origin: offgrid.origin, root, hosts, acceptLoss, liars };
  try {
    return await restore(writerOf === undefined ? request : { ...request, writerOf }, {
      portOf: (url, host) => new HttpHost(url, offgrid.authKey, systemClock, host),
      newLog,
      onProgress: (sequence, until) => progress.update(sequence, until),
      onTrouble: (message) => void process.stderr.write(`sheratan: ${message}\n`),
    });
  } finally {
    progress.stop();
  }
}

/** Unless told, the hosts of the core at hand, by the keys that it knows them by. */
async function drilledHosts(options: RestoreOptions, config: Config): Promise<readonly HostAddress[]> {
  const known = options.hosts === undefined ? await knownHosts(config) : [];
  if (known.length === 0) return hostsOf(options, config);
  return known.map(({ url, host }) => ({ url, fingerprint: host, weight: 1 }));
}

function hostsOf({ hosts }: RestoreOptions, { offgrid }: Config): readonly HostAddress[] {
  if (hosts === undefined) return offgrid.hosts;
  try {
    return readHosts(hosts);
  } catch (error) {
    throw new CliError(`--hosts: '${hosts}' ${error instanceof Error ? error.message : 'is invalid'}`);
  }
}

function report({ sequence, newest, grant, doubt }: Restored, seconds: number, print: (line: string) => void): void {
  const rate = Math.round(sequence / Math.max(seconds, 0.001));
  print(
    `${sequence} events read and verified in ${seconds.toFixed(1)} s (${rate}/s); head signed by ${newest.url} (${newest.host})`,
  );
  if (grant !== undefined) print(`writer epoch  ${grant.epoch}: a core that wrote before is fenced`);
  if (doubt !== undefined) print(`LOSS ACCEPTED ${doubt}`);
}

/** Builds the read models, and says the digest of missions: what hosts signed for, in the outbox, is earned again. */
async function build(paths: CorePaths, log: EventLog, print: (line: string) => void): Promise<string> {
  let digest = '';
  const head = await log.head();
  for (const projection of PROJECTIONS.values()) {
    const projector = await Projector.open(paths.projection(projection.name), projection, log, onStderr('error'));
    try {
      await projector.start();
      const { name } = projection;
      const skipped = await withProgress(name, (update) => catchUp(projector, head, update, print));
      if (skipped > 0)
        print(`${name}: events that could not be folded: ${skipped}; each keeps its place and its number`);
      if (projection === missions) ({ digest } = await projector.digest());
    } finally {
      await projector.stop();
    }
  }
  return digest;
}

/** The most events named one by one that could not be folded. */
const MAX_NAMED = 20;

/**
 * Folds up to a position. An event that cannot be folded is skipped, with a word; at one of a newer build the projection
 * stays, for that build to go on. Returns how many were skipped.
 */
async function catchUp(
  projector: Projector,
  head: bigint,
  onProgress: (position: bigint, head: bigint) => void,
  print: (line: string) => void,
): Promise<number> {
  const { name } = projector.projection;
  for (let skipped = 0; ;) {
    if (await projector.reaches(head, LOOK_MS)) return skipped;
    const { state, error } = await projector.status();
    if (error !== null && state !== 'HALTED') throw new CliError(`${name} cannot be written: ${error.message}`);
    if (error?.code === 'NEWER_EVENT') {
      print(`${name}: stopped at event ${error.eventId ?? ''}. NEWER_EVENT: ${error.message}`);
      return skipped;
    }
    if (error !== null) {
      skipped += 1;
      if (skipped <= MAX_NAMED)
        print(`${name}: event ${error.eventId ?? ''} (${error.type ?? ''}) has no effect: ${error.message}`);
      await projector.resume(true);
    }
    onProgress(projector.position, head);
  }
}
