import type { Kysely } from 'kysely';
import type { Commands } from '../commands/commands.js';
import type { JobQueue } from '../commands/job-queue.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Replication } from '../offgrid/replication.js';
import type { Projector } from '../projector/projector.js';
import type { MissionsDatabase } from '../readmodels/missions-database.js';
import { Consistency } from './consistency.js';
import { apiError } from './errors.js';
import { Feeds } from './feeds.js';
import { positionToken, readPosition } from './position.js';

/** How long a mutation waits for the read models, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 10_000;
/** How long a query waits for its `at:`, in milliseconds. */
const AT_TIMEOUT_MS = 5_000;

/** What the API is built of. */
type Parts = Pick<Services, 'log' | 'commands' | 'queue' | 'missions' | 'outbox' | 'replication'>;

/** The parts of a running node that the API speaks to. */
export class Services {
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
  readonly feeds: Feeds;

  constructor({ log, commands, queue, missions, outbox, replication }: Parts) {
    this.log = log;
    this.commands = commands;
    this.queue = queue;
    this.missions = missions;
    this.outbox = outbox;
    this.replication = replication;
    this.projectors = new Map([missions, outbox].map((projector) => [projector.projection.name, projector]));
    this.db = missions.file.reads<MissionsDatabase>();
    this.feeds = new Feeds(log, missions, this.db, (position) => this.token(position));
  }

  /** A position as clients see it. */
  token(position: bigint | string): string {
    return positionToken(this.log.logId, BigInt(position));
  }

  /** A position a client gave. @throws GraphQLError POSITION_UNKNOWN */
  position(token: string): Promise<bigint> {
    return readPosition(token, this.log.logId, () => this.log.head());
  }

  /** A position a client gave, or another when it gave none. @throws GraphQLError POSITION_UNKNOWN */
  async positionOr(otherwise: bigint, token: string | null | undefined): Promise<bigint> {
    return token === null || token === undefined ? otherwise : this.position(token);
  }

  /** Waits until the read models have reached a position a client named. @throws GraphQLError CONSISTENCY_TIMEOUT */
  async at(token: string): Promise<void> {
    const position = await this.position(token);
    if (await this.missions.reaches(position, AT_TIMEOUT_MS)) return;
    throw apiError(
      'CONSISTENCY_TIMEOUT',
      `The read models have not reached ${token} within ${AT_TIMEOUT_MS / 1_000} s; they are at ${this.token(this.missions.position)}. Try again, or ask without \`at:\`.`,
    );
  }

  /** Waits until a change is as durable as asked, and says how durable it is: nothing is undone and nothing claimed. */
  async settle(position: bigint, wanted: Consistency): Promise<Consistency> {
    if (wanted === Consistency.APPENDED) return Consistency.APPENDED;
    return (await this.missions.reaches(position, PROJECTED_TIMEOUT_MS)) ? Consistency.PROJECTED : Consistency.APPENDED;
  }
}
