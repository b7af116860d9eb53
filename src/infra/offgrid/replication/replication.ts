import { randomBytes } from 'node:crypto';
import type { HaltReason } from '../../../domain/writer.js';
import { KEY_BYTES } from '../../crypto/data-key.js';
import { openKeyring, readKeyring, wrapKeyring } from '../../crypto/keyring-file.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { soleLease, type Lease } from '../../eventlog/lease.js';
import { type Clock, systemTime } from '../../platform/clock.js';
import type { CorePaths } from '../../platform/core-paths.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import type { Projector } from '../../projector/projector.js';
import { BrokerClient } from '../broker/client.js';
import { hostClientUntil } from '../protocol/host-clients.js';
import type { OffgridSettings } from '../protocol/settings.js';
import { BrokerLink } from './broker-link.js';
import { newKey } from './first-key.js';
import { Operations, type NotReplicated } from './operations.js';
import { ProjectedBacklog } from './projected-backlog.js';
import { QuorumWatch } from './quorum-watch.js';
import { ReplicationEvents } from './replication-events.js';
import { Replicator } from './replicator.js';
import { SqliteFrontiers } from './sqlite-frontiers.js';
import { WriterFile } from './writer-file.js';

/** How often the lease is checked, in milliseconds. */
const LOOK_MS = 500;
/** How long an operation of an operator waits for the replicator, in milliseconds: another core may have just released the lease. */
const STAND_MS = 3_000;

/** Dependencies of replication. */
export interface ReplicationDependencies {
  readonly settings: OffgridSettings;
  readonly paths: CorePaths;
  readonly log: EventLog;
  readonly outbox: Projector;
  /** Stands for the lease that the one core of a log which replicates holds; undefined for a core that is alone on its log. */
  readonly stand: (() => Lease) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Replication in one core: its replicator runs while the core holds the lease. A core that cannot replicate lets another core of
 * the log have the lease.
 */
export class Replication {
  readonly backlog: ProjectedBacklog;
  readonly settings: OffgridSettings;
  readonly operations: Operations;
  readonly #quorum: QuorumWatch;
  readonly #dependencies: ReplicationDependencies;
  readonly #root: RootKey | undefined;
  readonly #frontiers: SqliteFrontiers;
  readonly #broker: BrokerLink;
  readonly #stopping = new AbortController();
  #lease: Lease | undefined;
  #replicator: Replicator | undefined;
  #refused: NotReplicated | undefined;
  #halted: HaltReason | undefined;
  /** How many operations of operators need the replicator now, although it may be halted. */
  #needed = 0;
  #running: Promise<void>;

  private constructor(dependencies: ReplicationDependencies, root: RootKey | undefined, frontiers: SqliteFrontiers) {
    this.#dependencies = dependencies;
    this.settings = dependencies.settings;
    this.#root = root;
    this.#refused = root === undefined ? 'KEYRING_MISSING' : undefined;
    this.#frontiers = frontiers;
    this.#lease = dependencies.stand === undefined ? soleLease : undefined;
    const { origin, brokerUrl: url, authKey } = dependencies.settings;
    this.#broker = new BrokerLink(
      new BrokerClient({ url, authKey, clock: dependencies.clock }),
      origin,
      dependencies.logger,
    );
    this.backlog = new ProjectedBacklog(dependencies.outbox, dependencies.log);
    this.#quorum = new QuorumWatch(dependencies.outbox, dependencies.logger);
    this.operations = new Operations({
      ...dependencies,
      origin,
      backlog: this.backlog,
      halted: () => this.#halted,
      refusal: () => this.refusal,
      replicator: () => this.#replicator,
      withReplicator: (work) => this.#withReplicator(work),
      newKey: (keyEpoch) => root && newKey(root, origin, keyEpoch, randomBytes(KEY_BYTES)),
    });
    this.#running = this.#run(this.#stopping.signal);
  }

  /**
   * Starts replication. A core without a keyring whose log has keys has lost the keyring, and gets no new one.
   * @throws KeyringError; Error when the keyring or the writer's record is damaged
   */
  static async start(dependencies: ReplicationDependencies): Promise<Replication> {
    const { settings, paths, log, logger } = dependencies;
    const { keyPassphrase, origin } = settings;
    const root = (await readKeyring(paths.keyring, keyPassphrase)) ?? (await newRoot(dependencies));
    if (root === undefined)
      logger.error(
        `This core replicates nothing: ${paths.keyring} is missing, and the log is sealed with its key. Run \`sheratan keys export\` on the folder of a core that has it, and \`sheratan keys import\` on this one; then restart this core.`,
      );
    if (keyPassphrase !== undefined) await wrap(paths.keyring, keyPassphrase, logger);
    const frontiers = await SqliteFrontiers.open(paths.frontiers, `${log.logId}/${origin}`);
    const known = await new WriterFile(paths.writer).load();
    const replication = new Replication(dependencies, root, frontiers);
    if (known?.logId === log.logId) replication.#halted = known.stopped;
    return replication;
  }

  /** The replicator, while this core is the one that replicates. */
  get replicator(): Replicator | undefined {
    return this.#replicator;
  }

  /** Why this core takes no more commands; undefined while it takes them. */
  get halted(): HaltReason | undefined {
    return this.#halted;
  }

  /** Why nothing is shipped, for a reason other than the hosts; undefined without one. */
  get refusal(): NotReplicated | undefined {
    return this.#refused ?? this.#replicator?.refusal;
  }

  /** The broker's score of a host, 0–1; undefined when it has given none. */
  scoreOf(host: string): number | undefined {
    return this.#broker.scoreOf(host);
  }

  /** A caller waits for a quorum, until it calls the returned function. */
  hurry(): () => void {
    return this.#replicator?.hurry() ?? (() => undefined);
  }

  /**
   * Resolves true once a quorum has signed for everything up to a position, and hurries that; false when it takes
   * longer than the timeout of the settings, or cannot happen.
   */
  async isReplicated(position: bigint): Promise<boolean> {
    if (this.#halted !== undefined || this.refusal !== undefined) return false;
    const done = this.hurry();
    try {
      return await this.#quorum.reaches(position, this.settings.replicatedTimeoutMs);
    } finally {
      done();
    }
  }

  /** Answers all who wait for a quorum now, with what was reached. */
  letGo(): void {
    this.#quorum.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.letGo();
    await this.#running;
    this.#broker.stop();
    await this.#frontiers.close();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { stand, clock, logger } = this.#dependencies;
    const time = systemTime(clock);
    // The replication state must be completely known before anything is concluded from it.
    const isCaughtUp = () => this.backlog.catchUp();
    const failures = new FailureLog(logger, 'replication cannot begin');
    while (!signal.aborted) {
      try {
        this.#refused ??= this.#replicator?.refusal;
        if (this.#mayStand) this.#lease ??= stand?.();
        else await this.#letOthers();
        const isHeld = this.#lease?.isHeld === true;
        if (isHeld && this.#replicator === undefined && this.#root !== undefined && (await isCaughtUp()))
          this.#replicator = await this.#startReplicator(this.#root);
        if (!isHeld) await this.#stopReplicator();
        failures.succeeded();
      } catch (error) {
        failures.failed(error);
      }
      await time.sleep(LOOK_MS, signal);
    }
    await this.#letOthers();
  }

  /** Whether this core can replicate, or is alone on its log, so that nobody else can. */
  get #mayStand(): boolean {
    if (this.#dependencies.stand === undefined) return true;
    return this.#refused === undefined && (this.#halted === undefined || this.#needed > 0);
  }

  /** Lets another core of the log replicate. */
  async #letOthers(): Promise<void> {
    await this.#stopReplicator();
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.stop();
  }

  /** Runs `work` with the replicator, also when it is halted; undefined when another core has the lease. */
  async #withReplicator<R>(work: (replicator: Replicator) => Promise<R>): Promise<R | undefined> {
    const time = systemTime(this.#dependencies.clock);
    this.#needed += 1;
    try {
      for (let waited = 0; this.#replicator === undefined && waited < STAND_MS; waited += LOOK_MS)
        await time.sleep(LOOK_MS, this.#stopping.signal);
      return this.#replicator && (await work(this.#replicator));
    } finally {
      this.#needed -= 1;
    }
  }

  #startReplicator(root: RootKey): Promise<Replicator> {
    const { settings, paths, log, outbox, clock, logger } = this.#dependencies;
    const { origin, authKey, hosts, requiredAcks, dishonestWeight } = settings;
    return Replicator.start({
      origin,
      root,
      logId: log.logId,
      wanted: { hosts, required: requiredAcks },
      dishonestWeight,
      outbox: this.backlog,
      journal: new ReplicationEvents(log, outbox, clock),
      store: new WriterFile(paths.writer),
      frontiers: this.#frontiers,
      time: systemTime(clock),
      randomBytes,
      clientOf: (url, host, signal) =>
        hostClientUntil(signal, { url, authKey, clock, ...(host === undefined ? {} : { host }) }),
      logger: logger.child({ part: 'replicator' }),
      onHalted: (reason) => {
        this.#halted = reason;
        if (reason !== undefined) this.#quorum.dismiss();
      },
      onAcknowledged: (acknowledged) => this.#broker.acknowledged(acknowledged),
    });
  }

  async #stopReplicator(): Promise<void> {
    const replicator = this.#replicator;
    this.#replicator = undefined;
    await replicator?.stop();
  }
}

async function wrap(keyring: string, passphrase: string, logger: Logger): Promise<void> {
  try {
    if (await wrapKeyring(keyring, passphrase))
      logger.info(`${keyring} had no passphrase, and is now wrapped with SHERATAN_KEY_PASSPHRASE`);
  } catch (error) {
    // The keyring can be opened nevertheless.
    logger.warn({ err: error }, `${keyring} has no passphrase, and cannot be wrapped`);
  }
}

/** The root key of a new core; undefined when the log already has keys of another. */
async function newRoot({ settings, paths, log }: ReplicationDependencies): Promise<RootKey | undefined> {
  for await (const _ of log.readAll({ filter: { types: ['KeyRotated'] }, limit: 1 })) return undefined;
  return openKeyring(paths.keyring, settings.keyPassphrase);
}
