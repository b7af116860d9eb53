import type { Kysely } from 'kysely';
import type { Commands } from '../commands/commands.js';
import type { JobQueue } from '../commands/job-queue.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Replication } from '../offgrid/replication/replication.js';
import { readStatus, type ReplicationStatus } from '../offgrid/replication/status.js';
import type { Clock } from '../platform/clock.js';
import type { Projector } from '../projector/projector.js';
import type { MissionsDatabase } from '../readmodels/missions/database.js';
import type { OutboxDatabase } from '../readmodels/outbox/database.js';
import { RequestError } from '../readmodels/request-error.js';
import { positionToken, readPosition } from './position.js';

/** How durable a change is. APPENDED: it is on the disk of the log. PROJECTED: queries show it. REPLICATED: it is at quorum. */
export type Durability = 'APPENDED' | 'PROJECTED' | 'REPLICATED';

/** How long a mutation waits for the read models, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 10_000;
/** How long a query waits until the read models reach its `at:`, in milliseconds. */
const AT_TIMEOUT_MS = 5_000;

/** The parts that core services are constructed from. */
type CoreDependencies = Pick<CoreServices, 'log' | 'commands' | 'queue' | 'missions' | 'outbox' | 'replication'> & {
  readonly clock: Clock;
};

/** The services that every adapter of a running core uses: GraphQL, REST, health, metrics and processes. */
export class CoreServices {
  readonly log: EventLog;
  readonly commands: Commands;
  readonly queue: JobQueue;
  /** The projection of missions, tasks and jobs. */
  readonly missions: Projector;
  /** The projection of replicated events and hosts. */
  readonly outbox: Projector;
  /** Undefined when replication is disabled. */
  readonly replication: Replication | undefined;
  /** Every projection, by name. */
  readonly projectors: ReadonlyMap<string, Projector>;
  readonly db: Kysely<MissionsDatabase>;
  readonly outboxDb: Kysely<OutboxDatabase>;
  readonly #clock: Clock;

  constructor({ log, commands, queue, missions, outbox, replication, clock }: CoreDependencies) {
    this.log = log;
    this.commands = commands;
    this.queue = queue;
    this.missions = missions;
    this.outbox = outbox;
    this.replication = replication;
    this.projectors = new Map([missions, outbox].map((projector) => [projector.projection.name, projector]));
    this.db = missions.file.reads<MissionsDatabase>();
    this.outboxDb = outbox.file.reads<OutboxDatabase>();
    this.#clock = clock;
  }

  /** The token by which clients see a position. */
  token(position: bigint | string): string {
    return positionToken(this.log.logId, BigInt(position));
  }

  /** The position of a client's token. @throws RequestError POSITION_UNKNOWN */
  position(token: string): Promise<bigint> {
    return readPosition(token, this.log.logId, () => this.log.head());
  }

  /** The position of a client's token to read after, or `otherwise` without a token. @throws RequestError POSITION_UNKNOWN */
  async readAfter(token: string | null | undefined, otherwise: bigint): Promise<bigint> {
    if (token === null || token === undefined) return otherwise;
    const position = await this.position(token);
    if (await this.log.hasPosition(position)) return position;
    throw new RequestError(
      'POSITION_UNKNOWN',
      `Position '${token}' is not that of an event. Use one that a mutation, query or subscription returned.`,
    );
  }

  /** How far replication has got, and what prevents its progress. */
  replicationStatus(): Promise<ReplicationStatus> {
    return readStatus(this.outboxDb, this.replication, this.#clock.now());
  }

  /**
   * Waits up to 5 s until a read model has reached the position of a client's token.
   * @throws RequestError CONSISTENCY_TIMEOUT, POSITION_UNKNOWN
   */
  async at(token: string, projector = this.missions): Promise<void> {
    const position = await this.position(token);
    if (await projector.reaches(position, AT_TIMEOUT_MS)) return;
    throw new RequestError(
      'CONSISTENCY_TIMEOUT',
      `The read models have not reached ${token} within ${AT_TIMEOUT_MS / 1_000} s; they are at ${this.token(projector.position)}. Try again, or send the query without \`at:\`.`,
    );
  }

  /**
   * Waits until a change is as durable as `wanted`, or until a timeout, and returns how durable it is then. The change is not
   * undone after a timeout. A change that is REPLICATED is PROJECTED as well.
   * @param projector the projection that shows the change
   */
  async waitUntilDurable(position: bigint, wanted: Durability, projector = this.missions): Promise<Durability> {
    if (wanted === 'APPENDED') return 'APPENDED';
    const [isProjected, isReplicated] = await Promise.all([
      projector.reaches(position, PROJECTED_TIMEOUT_MS),
      wanted === 'REPLICATED' && this.replication?.isReplicated(position),
    ]);
    if (!isProjected) return 'APPENDED';
    return isReplicated === true ? 'REPLICATED' : 'PROJECTED';
  }
}
