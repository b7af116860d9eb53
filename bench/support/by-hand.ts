import { createTables, indexStatements } from '../../src/infra/projector/generation.js';
import { missions } from '../../src/projections/missions.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { perSecond } from './measure.js';
import { RawDatabase, type RawStatement } from './raw.js';

/** Events read, folded and committed at a time: as many as the projector takes. */
export const BATCH = 1_000;

type Row = (string | number | null)[];

/** An event in the form in which it is folded. */
export interface HandEvent {
  readonly position: number;
  readonly revision: number;
  readonly type: string;
  readonly data: HandData;
  readonly metadata: HandMetadata;
}

/** All fields that events of missions, tasks and jobs may have. */
export interface HandData {
  readonly missionId: string;
  readonly taskId: string;
  readonly jobId: string;
  readonly title: string;
  readonly name: string;
  readonly description: string;
  readonly kind: string;
  readonly metadata: object;
  readonly tags: readonly string[];
  readonly params: object;
  readonly payload: object;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly worker: string;
  readonly attempt: number;
  readonly leaseExpiresAt: string;
  readonly result: object;
  readonly cost?: number;
  readonly reason: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly outcome: string;
}

export interface HandMetadata {
  readonly at: string;
}

/** Places in the rows, which are arrays in the order of the columns. */
const MISSION = { status: 5, reason: 6, updated: 8, revision: 9, position: 10 } as const;
const TASK = { name: 2, description: 3, kind: 4, params: 5, updated: 7, revision: 8, position: 9 } as const;
const JOB = {
  mission: 2,
  maxAttempts: 6,
  status: 8,
  attempt: 9,
  worker: 10,
  lease: 11,
  result: 12,
  cost: 13,
  reason: 14,
  message: 15,
  updated: 18,
  revision: 19,
  position: 20,
} as const;
const STATS = {
  closed: 1,
  tasks: 2,
  PENDING: 3,
  DISPATCHED: 4,
  COMPLETED: 5,
  FAILED: 6,
  CANCELLED: 7,
} as const;

/** The rows of a table: those in memory, and those to be written. */
class HandTable {
  readonly rows = new Map<string, Row>();
  readonly changed = new Map<string, Row>();
  readonly #upsert: RawStatement;

  constructor(database: RawDatabase, name: string, columns: string, fixed: string) {
    const names = columns.split(' ');
    const changing = names.filter((column) => !fixed.split(' ').includes(column));
    this.#upsert = database.prepare(
      `INSERT INTO ${name} (${names.join(', ')}) SELECT ${names.map((_, i) => `value->>${i}`).join(', ')}
       FROM jsonb_each(?) WHERE true
       ON CONFLICT (${names[0] ?? ''}) DO UPDATE SET ${changing.map((column) => `${column} = excluded.${column}`).join(', ')}`,
    );
  }

  add(row: Row): void {
    const key = row[0] as string;
    this.rows.set(key, row);
    this.changed.set(key, row);
  }

  /** A row about to be changed. */
  change(key: string): Row {
    const row = this.rows.get(key);
    if (row === undefined) throw new Error(`no row ${key}`);
    this.changed.set(key, row);
    return row;
  }

  /** Returns the parameter that writes the changed rows, which count as written from then on. */
  take(): string | undefined {
    if (this.changed.size === 0) return undefined;
    const json = JSON.stringify([...this.changed.values()]);
    this.changed.clear();
    return json;
  }

  async write(json: string | undefined): Promise<void> {
    if (json !== undefined) await this.#upsert.run([json]);
  }
}

/**
 * The limit that a projector is compared with: the rows of `missions.db` made by code written only for them. It has the
 * same tables, indexes, pragmas and batch size, reads ahead while the previous batch is written, folds rows as arrays in
 * place, and keeps only unfinished jobs in memory, because no event changes a finished one. It checks nothing: no
 * checksums, no halts, no checkpoint except the position.
 */
class ByHand {
  readonly #missions: HandTable;
  readonly #tasks: HandTable;
  readonly #jobs: HandTable;
  readonly #stats: HandTable;

  constructor(database: RawDatabase) {
    this.#missions = new HandTable(
      database,
      'missions',
      'id title description metadata tags status closed_reason created_at updated_at revision position',
      'id created_at',
    );
    this.#tasks = new HandTable(
      database,
      'tasks',
      'id mission_id name description kind params created_at updated_at revision position',
      'id mission_id created_at',
    );
    this.#jobs = new HandTable(
      database,
      'jobs',
      'id task_id mission_id kind payload priority max_attempts created_at status attempt worker lease_expires_at ' +
        'result cost failure_reason failure_message claim_key claim_hash updated_at revision position',
      'id task_id mission_id kind payload priority max_attempts created_at',
    );
    this.#stats = new HandTable(
      database,
      'mission_stats',
      'mission_id closed tasks pending dispatched completed failed cancelled',
      'mission_id',
    );
  }

  fold({ position, revision, type, data, metadata: { at } }: HandEvent): void {
    switch (type) {
      case 'MissionCreated': {
        const { missionId, title, description, tags } = data;
        const fields = [missionId, title, description, JSON.stringify(data.metadata), JSON.stringify(tags)];
        this.#missions.add([...fields, 'OPEN', null, at, at, revision, position]);
        this.#stats.add([missionId, 0, 0, 0, 0, 0, 0, 0]);
        return;
      }
      case 'MissionClosed': {
        const row = this.#missions.change(data.missionId);
        row[MISSION.status] = data.outcome;
        row[MISSION.reason] = data.reason;
        row[MISSION.updated] = at;
        row[MISSION.revision] = revision;
        row[MISSION.position] = position;
        this.#stats.change(data.missionId)[STATS.closed] = 1;
        return;
      }
      case 'TaskCreated': {
        const { taskId, missionId, name, description, kind, params } = data;
        this.#tasks.add([
          taskId,
          missionId,
          name,
          description,
          kind,
          JSON.stringify(params),
          at,
          at,
          revision,
          position,
        ]);
        increase(this.#stats.change(missionId), STATS.tasks, 1);
        return;
      }
      case 'TaskUpdated': {
        const row = this.#tasks.change(data.taskId);
        if (data.name !== undefined) row[TASK.name] = data.name;
        if (data.description !== undefined) row[TASK.description] = data.description;
        if (data.kind !== undefined) row[TASK.kind] = data.kind;
        if (data.params !== undefined) row[TASK.params] = JSON.stringify(data.params);
        row[TASK.updated] = at;
        row[TASK.revision] = revision;
        row[TASK.position] = position;
        return;
      }
      case 'JobCreated': {
        const { jobId, taskId, missionId, kind, payload, priority, maxAttempts } = data;
        const fixed = [jobId, taskId, missionId, kind, JSON.stringify(payload), priority, maxAttempts, at];
        const open = ['PENDING', 0, null, null, 'null', null, null, null, null, null];
        this.#jobs.add([...fixed, ...open, at, revision, position]);
        increase(this.#stats.change(missionId), STATS.PENDING, 1);
        return;
      }
      case 'JobDispatched': {
        const row = this.#job(data, 'DISPATCHED', at, revision, position);
        row[JOB.attempt] = data.attempt;
        row[JOB.worker] = data.worker;
        row[JOB.lease] = data.leaseExpiresAt;
        return;
      }
      case 'JobCompleted': {
        const row = this.#job(data, 'COMPLETED', at, revision, position);
        row[JOB.result] = JSON.stringify(data.result);
        row[JOB.cost] = data.cost ?? null;
        row[JOB.reason] = null;
        row[JOB.message] = null;
        return;
      }
      case 'JobFailed': {
        const again = data.retryable && data.attempt < (this.#jobs.rows.get(data.jobId)?.[JOB.maxAttempts] as number);
        const row = this.#job(data, again ? 'PENDING' : 'FAILED', at, revision, position);
        if (again) row[JOB.worker] = null;
        row[JOB.reason] = data.reason;
        row[JOB.message] = data.message;
        return;
      }
      case 'JobCancelled': {
        const row = this.#job(data, 'CANCELLED', at, revision, position);
        row[JOB.reason] = data.reason;
        row[JOB.message] = '';
        return;
      }
      default:
        throw new Error(`the history has no ${type}`);
    }
  }

  #job(data: HandData, status: keyof typeof STATS, at: string, revision: number, position: number): Row {
    const row = this.#jobs.change(data.jobId);
    const stats = this.#stats.change(row[JOB.mission] as string);
    increase(stats, STATS[row[JOB.status] as keyof typeof STATS], -1);
    increase(stats, STATS[status], 1);
    row[JOB.status] = status;
    row[JOB.lease] = null;
    row[JOB.updated] = at;
    row[JOB.revision] = revision;
    row[JOB.position] = position;
    if (status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELLED') this.#jobs.rows.delete(data.jobId);
    return row;
  }

  /** Returns what to write; folding may then continue with `changed`. */
  take(): () => Promise<void> {
    const missionsJson = this.#missions.take();
    const tasksJson = this.#tasks.take();
    const jobsJson = this.#jobs.take();
    const statsJson = this.#stats.take();
    return async () => {
      await this.#missions.write(missionsJson);
      await this.#tasks.write(tasksJson);
      await this.#jobs.write(jobsJson);
      await this.#stats.write(statsJson);
    };
  }
}

function increase(row: Row, column: number, by: number): void {
  row[column] = (row[column] as number) + by;
}

/**
 * Makes `missions.db` at `path` by hand, from events in batches: the next is read while this one is folded and the previous
 * ones are written. Returns events per second.
 */
export async function replayByHand(
  batches: AsyncIterable<Iterable<HandEvent>>,
  path: string,
  count: number,
): Promise<number> {
  const schema = await Connection.open(path, 'write');
  await schema.exec('PRAGMA journal_mode = WAL');
  await createTables(schema, missions.tables, 'live');
  for (const sql of indexStatements(missions.tables, 'live', 1)) await schema.exec(sql);
  await schema.exec('CREATE TABLE checkpoint (position INTEGER NOT NULL); INSERT INTO checkpoint VALUES (0)');
  await schema.close();

  const database = await RawDatabase.open(path);
  await database.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000; PRAGMA cache_size = -32768');
  try {
    return await perSecond(count, () => replay(batches, database));
  } finally {
    await database.close();
  }
}

async function replay(batches: AsyncIterable<Iterable<HandEvent>>, database: RawDatabase): Promise<void> {
  const begin = database.prepare('BEGIN');
  const advance = database.prepare('UPDATE checkpoint SET position = ?');
  const commit = database.prepare('COMMIT');
  const hand = new ByHand(database);
  let writing = Promise.resolve();
  for await (const batch of batches) {
    let position = 0;
    for (const event of batch) {
      hand.fold(event);
      ({ position } = event);
    }
    const write = hand.take();
    await writing;
    writing = (async () => {
      await begin.run();
      await write();
      await advance.run([position]);
      await commit.run();
    })();
  }
  await writing;
}
