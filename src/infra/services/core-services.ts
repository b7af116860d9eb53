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

/** How far a change has got: it is on the disk of this log; queries show it; a quorum of storage hosts has signed for it. */
export type Durability = 'APPENDED' | 'PROJECTED' | 'REPLICATED';

/** How long a mutation waits for the read models, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 10_000;
/** How long a query waits for its `at:`, in milliseconds. */
const AT_TIMEOUT_MS = 5_000;

/** What core services are made of. */
type CoreDependencies = Pick<CoreServices, 'log' | 'commands' | 'queue' | 'missions' | 'outbox' | 'replication'> & {
  readonly clock: Clock;
};

/** What every adapter of a running core (GraphQL, REST, health, metrics, processes) stands on. */
export class CoreServices {
  readonly log: EventLog;
  readonly commands: Commands;
  readonly queue: JobQueue;
  /** The projection of missions, tasks and jobs. */
  readonly missions: Projector;
  /** The projection of what must reach the hosts. */
  readonly outbox: Projector;
  /** Undefined where nothing is replicated. */
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

  /** A position as clients see it. */
  token(position: bigint | string): string {
    return positionToken(this.log.logId, BigInt(position));
  }

  /** A position a client gave. @throws RequestError POSITION_UNKNOWN */
  position(token: string): Promise<bigint> {
    return readPosition(token, this.log.logId, () => this.log.head());
  }

  /** A position a client gave, or another when it gave none. @throws RequestError POSITION_UNKNOWN */
  async positionOr(otherwise: bigint, token: string | null | undefined): Promise<bigint> {
    return token === null || token === undefined ? otherwise : this.position(token);
  }

  /** How far replication has got, and what is in its way. */
  replicationStatus(): Promise<ReplicationStatus> {
    return readStatus(this.outboxDb, this.replication, this.#clock.now());
  }

  /** Waits until a read model has reached a position a client named. @throws RequestError CONSISTENCY_TIMEOUT */
  async at(token: string, projector = this.missions): Promise<void> {
    const position = await this.position(token);
    if (await projector.reaches(position, AT_TIMEOUT_MS)) return;
    throw new RequestError(
      'CONSISTENCY_TIMEOUT',
      `The read models have not reached ${token} within ${AT_TIMEOUT_MS / 1_000} s; they are at ${this.token(projector.position)}. Try again, or ask without \`at:\`.`,
    );
  }

  /**
   * Waits until a change is as durable as asked, and says how durable it is: nothing is undone and nothing claimed. What
   * is REPLICATED is PROJECTED as well.
   * @param projector of the read model that shows the change
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
