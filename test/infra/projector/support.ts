import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished } from 'vitest';
import type { Fact, RecordedEvent } from '../../../src/domain/event.js';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import { MAX_APPEND_EVENTS, type EventLog } from '../../../src/infra/eventlog/eventlog.js';
import type { Logger } from '../../../src/infra/platform/logger.js';
import { Projector } from '../../../src/infra/projector/projector.js';
import type { ProjectionStatus } from '../../../src/infra/projector/status.js';
import { Connection, type Row } from '../../../src/infra/sqlite/connection.js';
import { defineProjection, type Projection } from '../../../src/projections/projection.js';
import { metadata } from '../../domain/support.js';

/** The longest that a test waits for a condition, in milliseconds. */
const PATIENCE_MS = 20_000;

const tables = {
  tallies: {
    key: 'id',
    columns: {
      id: { type: 'text', fixed: true },
      count: { type: 'integer' },
      last: { type: 'text' },
      position: { type: 'position', local: true },
    },
    indexes: { by_count: { columns: ['count', 'id'] } },
  },
} as const;

/** A row of `tallies`. */
interface Tally {
  readonly id: string;
  readonly count: number;
  readonly last: string;
  readonly position: number;
}

type Updated = Fact<'MissionUpdated', { readonly title: string }>;

interface TallyOptions {
  readonly version?: number;
  /** Called with each event as it is folded: to watch, to throw, or to do something at that moment. */
  readonly onFold?: (event: RecordedEvent<string, object>) => void;
}

/** A projection that counts the events of each mission: an event folded twice, or not at all, shows. */
export function tally({ version = 1, onFold = () => undefined }: TallyOptions = {}): Projection {
  return defineProjection<typeof tables, Updated>({
    name: 'tally',
    version,
    categories: ['mission'],
    tables,
    handlers: {
      MissionUpdated: {
        touches: ({ stream }) => [['tallies', stream]],
        fold(rows, event) {
          onFold(event);
          const count = (rows.get('tallies', event.stream)?.count ?? 0) + 1;
          const { title } = event.data;
          rows.put('tallies', { id: event.stream, count, last: title, position: event.position });
        },
      },
    },
  });
}

/** A folder that is removed after the test. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-projector-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** An empty log, or the one in a folder; it closes with the test. */
export async function newLog(folder?: string): Promise<EmbeddedLog> {
  const log = await EmbeddedLog.open(join(folder ?? (await newFolder()), 'log.db'), systemClock);
  onTestFinished(() => log.close());
  return log;
}

/** Appends a number of events, titled 1, 2, 3 …, to the streams in turn; returns the position of the last. */
export async function append(
  log: EventLog,
  count: number,
  streams: readonly string[] = ['mission-a'],
): Promise<bigint> {
  const titles = Array.from({ length: count }, (_, i) => String(i + 1));
  const appends = [];
  for (let from = 0, turn = 0; from < count; from += MAX_APPEND_EVENTS, turn += 1) {
    const events = titles.slice(from, from + MAX_APPEND_EVENTS).map((title) => ({
      id: randomUUID(),
      type: 'MissionUpdated',
      data: { title },
      metadata: metadata(0),
    }));
    appends.push(log.append(streams[turn % streams.length] ?? '', events, 'any'));
  }
  const results = await Promise.all(appends);
  return results.at(-1)?.position ?? 0n;
}

/** A log and a projector over it, as one process has them. */
export class Running {
  readonly log: EventLog;
  readonly path: string;
  readonly logged: string[] = [];
  readonly #logger: Logger;
  #projector: Projector | undefined;

  private constructor(log: EventLog, path: string) {
    this.log = log;
    this.path = path;
    this.#logger = pino(
      { level: 'error' },
      { write: (line: string) => void this.logged.push((JSON.parse(line) as { msg: string }).msg) },
    );
  }

  /** A projector that follows a log into a file; by default an empty log and a new file. */
  static async begin(projection = tally(), log?: EventLog, path?: string): Promise<Running> {
    const running = new Running(log ?? (await newLog()), path ?? join(await newFolder(), 'tally.db'));
    onTestFinished(() => running.stop());
    await running.start(projection);
    return running;
  }

  get projector(): Projector {
    if (this.#projector === undefined) throw new Error('the projector is not running');
    return this.#projector;
  }

  async open(projection: Projection, log = this.log): Promise<Projector> {
    return Projector.open(this.path, projection, log, this.#logger);
  }

  async start(projection: Projection): Promise<void> {
    this.#projector = await this.open(projection);
    await this.#projector.start();
  }

  async stop(): Promise<void> {
    const projector = this.#projector;
    this.#projector = undefined;
    await projector?.stop();
  }

  async restart(projection: Projection): Promise<void> {
    await this.stop();
    await this.start(projection);
  }

  /** Waits until everything appended so far is in the file. */
  async caughtUp(): Promise<void> {
    expect(await this.projector.reaches(await this.log.head(), PATIENCE_MS)).toBe(true);
  }

  /** Waits until the status is as wanted. */
  async status(wanted: (status: ProjectionStatus) => boolean): Promise<ProjectionStatus> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const changed = new AbortController();
      const progress = this.projector.progressed(AbortSignal.any([deadline, changed.signal]));
      const status = await this.projector.status();
      if (wanted(status)) {
        changed.abort();
        return status;
      }
      if (deadline.aborted) throw new Error(`the projection stayed ${status.state} at ${String(status.position)}`);
      await progress;
    }
  }

  state(state: ProjectionStatus['state']): Promise<ProjectionStatus> {
    return this.status((status) => status.state === state);
  }

  /** The live rows, as queries read them. */
  async rows(): Promise<Tally[]> {
    const { rows } = await tallyRows(this.projector);
    return rows;
  }

  /** How many events are in the rows. */
  async total(): Promise<number> {
    return (await this.rows()).reduce((sum, { count }) => sum + count, 0);
  }

  /** The existing tables of all generations. */
  async tables(): Promise<string[]> {
    const sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'generations' ORDER BY name";
    return (await this.projector.file.read((connection) => connection.all<{ name: string }>(sql))).map(
      ({ name }) => name,
    );
  }

  /** A connection to the projection's file, as another process would have it; it closes with the test. */
  async intruder(): Promise<Connection> {
    const connection = await Connection.open(this.path, 'write');
    onTestFinished(() => connection.close());
    return connection;
  }

  /** Makes commits to the file fail, all or those of some generations (a condition over `NEW`), until `repair`. */
  async breakWrites(which = 'true'): Promise<{ repair(): Promise<unknown> }> {
    const connection = await this.intruder();
    await connection.exec(
      `CREATE TRIGGER broken BEFORE UPDATE OF position ON generations WHEN ${which}
       BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END`,
    );
    return { repair: () => connection.run('DROP TRIGGER broken') };
  }

  /** Waits until something was logged. */
  async logs(message: string): Promise<void> {
    await expect.poll(() => this.logged, { timeout: PATIENCE_MS }).toContain(message);
  }
}

/** The live rows and the checkpoint they belong to, read in one transaction. */
export async function tallyRows(projector: Projector): Promise<{ readonly rows: Tally[]; readonly position: bigint }> {
  return projector.file
    .reads<{ tallies: Tally; generations: { slot: string; position: number } }>()
    .transaction()
    .execute(async (db) => {
      const rows = await db.selectFrom('tallies').selectAll().orderBy('id').execute();
      const { position } = await db
        .selectFrom('generations')
        .select('position')
        .where('slot', '=', 'live')
        .executeTakeFirstOrThrow();
      return { rows, position: BigInt(position) };
    });
}

/** Changes a projection's file from outside the projector. */
export async function tamper(path: string, sql: string): Promise<readonly Row[]> {
  const connection = await Connection.open(path, 'write');
  try {
    return await connection.all(sql);
  } finally {
    await connection.close();
  }
}
