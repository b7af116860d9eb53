import { mkdir, writeFile, realpath, rm } from 'node:fs/promises';
import { missions } from '../../projections/missions.js';
import { outbox } from '../../projections/outbox.js';
import type { Projection } from '../../projections/projection.js';
import { Commands } from '../commands/commands.js';
import { CommandHandler } from '../commands/handler.js';
import { JobQueue } from '../commands/job-queue.js';
import { makeSchema, type ResolverClass } from '../graphql/schema.js';
import { startServer } from '../http/server.js';
import { replicationStopped } from '../offgrid/replication/halt-message.js';
import { Replication } from '../offgrid/replication/replication.js';
import { soleLease } from '../eventlog/lease.js';
import type { Clock } from '../platform/clock.js';
import { corePaths, type CoreAddress } from '../platform/core-paths.js';
import type { Logger } from '../platform/logger.js';
import { closedMissions } from '../processes/closed-missions.js';
import { leaseExpiry } from '../processes/lease-expiry.js';
import { ProjectionError } from '../projector/errors.js';
import { Projector } from '../projector/projector.js';
import { CoreServices } from '../services/core-services.js';
import { ProcessLock } from '../sqlite/process-lock.js';
import type { Config } from './config.js';
import { openLogWhenThere } from './start-log.js';

/** A running node. */
export interface Node {
  /** The address it listens on: `http://host:port`. */
  readonly url: string;
  readonly services: CoreServices;
  /**
   * Stops accepting requests, finishes those in flight, flushes and closes its files.
   * @throws the first error of a part that could not be closed, after all other parts are closed
   */
  stop(): Promise<void>;
}

/** What a node needs besides its configuration. */
export interface NodeOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborts the start, which may be waiting for the server that holds the log. */
  readonly signal?: AbortSignal;
  /** Additional resolvers, for benchmarks and tests. */
  readonly resolvers?: readonly ResolverClass[];
}

/**
 * Builds a running node from its parts; they are connected nowhere else.
 * @throws LogError, ProjectionError or the system's error when it cannot start; what was opened is closed first
 */
export async function startNode(config: Config, { clock, logger, signal, resolvers = [] }: NodeOptions): Promise<Node> {
  const paths = corePaths(config.dataDir);
  const opened: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    const failures: unknown[] = [];
    for (const close of opened.splice(0).reverse()) await close().catch((failure: unknown) => failures.push(failure));
    if (failures.length > 0) throw failures[0];
  };
  try {
    await mkdir(paths.folder, { recursive: true });
    const lock = await ownProjection(paths.missionsLock);
    opened.push(() => lock.release());
    const { log, lease, port } = await openLogWhenThere(config, clock, logger, signal);
    opened.push(() => log.close());
    const startProjector = async (projection: Projection) => {
      const projector = await Projector.open(paths.projection(projection.name), projection, log, logger);
      opened.push(() => projector.stop());
      await projector.start();
      return projector;
    };
    const projector = await startProjector(missions);
    const outboxProjector = await startProjector(outbox);

    const replication = config.offgrid.enabled
      ? await Replication.start({
          settings: config.offgrid,
          paths,
          log,
          outbox: outboxProjector,
          stand: lease && (() => lease('replication')),
          clock,
          logger,
        })
      : undefined;
    opened.push(async () => {
      await replication?.stop();
    });
    const handler = new CommandHandler(log, clock, () => replication?.halted && replicationStopped(replication.halted));
    const commands = new Commands(handler);
    const queue = new JobQueue(commands, log, projector);
    const parts = { log, commands, queue, missions: projector, outbox: outboxProjector, replication, clock };
    const services = new CoreServices(parts);
    const duty = lease?.('processes') ?? soleLease;
    const processes = [leaseExpiry(services, clock, logger, duty), closedMissions(services, logger, duty)];
    opened.push(async () => {
      await Promise.all(processes.map((process) => process.stop()));
      await duty.stop();
    });
    const server = await startServer({ ...config, port }, services, makeSchema(resolvers), logger);
    opened.push(() => server.close());
    // A mutation that waits for a quorum is in flight too, and may wait longer than a stop may take.
    opened.push(() => Promise.resolve(replication?.letGo()));
    const address: CoreAddress = {
      ...{ url: server.url, logId: log.logId, pid: process.pid },
      dataDir: await realpath(config.dataDir),
    };
    await writeFile(paths.address, JSON.stringify(address));
    opened.push(() => rm(paths.address, { force: true }));
    return { url: server.url, services, stop: closeAll };
  } catch (error) {
    await closeAll().catch((failure: unknown) =>
      logger.error({ err: failure }, 'could not close a part of the node that was opened'),
    );
    throw error;
  }
}

/** Takes the lock that only one process on a data folder can hold. @throws ProjectionError PROJECTION_BUSY */
async function ownProjection(lockPath: string): Promise<ProcessLock> {
  const lock = await ProcessLock.take(lockPath);
  if (lock !== undefined) return lock;
  throw new ProjectionError(
    'PROJECTION_BUSY',
    `Another core runs on this data folder (${lockPath} is locked). Stop it, or set SHERATAN_DATA_DIR to another folder.`,
  );
}
