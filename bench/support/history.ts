import { ETYPES, type EventMetadata, type EventType } from '../../src/domain/event.js';
import { checksumOf, type EventRow } from '../../src/infra/eventlog/embedded/event-row.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { PARTITION_BYTES, PartitionSize } from '../../src/infra/eventlog/embedded/partition-size.js';
import { addPartition, tableOf } from '../../src/infra/eventlog/embedded/partitions.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import { progress } from './measure.js';
import { RawDatabase } from './raw.js';
import { Random } from './random.js';

/** Events for each mission, about: 10 tasks and the life of 300 jobs a task. */
const EVENTS_PER_MISSION = 10_000;
const TASKS_PER_MISSION = 10;
/** Missions worked on at the same time. */
const OPEN_MISSIONS = 10;
/** The least and the most jobs that wait. */
const MIN_PENDING = 50;
const MAX_PENDING = 2_000;
/** The most jobs that are being worked on. */
const MAX_RUNNING = 100;
/** Time between two events, in ms. */
const STEP_MS = 20;
const START_MS = Date.UTC(2026, 0, 1);
const ROWS_AT_A_TIME = 5_000;

interface OpenMission {
  readonly id: string;
  readonly tasks: readonly string[];
  toCreate: number;
  unfinished: number;
}

interface OpenJob {
  readonly id: string;
  readonly taskId: string;
  readonly mission: OpenMission;
  readonly ref: { readonly jobId: string; readonly missionId: string; readonly taskId: string };
  revision: number;
  attempt: number;
  worker: string;
}

/**
 * What a core would have recorded while working on missions: jobs dominate, most are created, dispatched and completed,
 * a few fail, are tried again or are cancelled. The same seed gives the same rows. Members are in the order of canonical
 * JSON, so that JSON.stringify writes canonical JSON.
 */
class History {
  readonly #random: Random;
  readonly #missions: OpenMission[] = [];
  readonly #pending: OpenJob[] = [];
  readonly #running: OpenJob[] = [];
  #position = 0;
  #rows: EventRow[] = [];

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** The next rows, at least `count`. */
  rows(count: number): EventRow[] {
    this.#rows = [];
    while (this.#rows.length < count) this.#step();
    return this.#rows;
  }

  #step(): void {
    if (this.#missions.length < OPEN_MISSIONS) {
      this.#openMission();
      return;
    }
    const chance = this.#random.next();
    if (this.#pending.length < MIN_PENDING || (chance < 0.34 && this.#pending.length < MAX_PENDING)) this.#createJob();
    else if (chance < 0.67 && this.#running.length < MAX_RUNNING) this.#dispatch();
    else if (chance < 0.995) this.#finish();
    else this.#update();
  }

  #openMission(): void {
    const id = this.#id();
    const tags = ['field', this.#random.pick(['north', 'south', 'east', 'west'])];
    const metadata = { site: `S-${this.#random.below(500)}`, weather: 'clear' };
    const description = 'Survey the area, photograph what is there and report what is out of place.';
    this.#record('MissionCreated', `mission-${id}`, 0, { description, metadata, missionId: id, tags, title: 'Survey' });
    const tasks = Array.from({ length: TASKS_PER_MISSION }, (_, i) => {
      const taskId = this.#id();
      const data = { description: 'One pass over one sector.', kind: 'survey', missionId: id, name: `Sector ${i}` };
      this.#record('TaskCreated', `task-${taskId}`, 0, { ...data, params: { altitude: 120, sector: i }, taskId });
      return taskId;
    });
    this.#missions.push({ id, tasks, toCreate: Math.floor(EVENTS_PER_MISSION / 3.2), unfinished: 0 });
  }

  #createJob(): void {
    const mission = this.#random.pick(this.#missions);
    if (mission.toCreate === 0) {
      this.#finish();
      return;
    }
    mission.toCreate -= 1;
    mission.unfinished += 1;
    const id = this.#id();
    const taskId = this.#random.pick(mission.tasks);
    const ref = { jobId: id, missionId: mission.id, taskId };
    const payload = { frame: this.#random.below(100_000), source: `s3://frames/${this.#random.hex(24)}.jpg`, zoom: 2 };
    const priority = this.#random.below(5);
    this.#record('JobCreated', `job-${id}`, 0, {
      jobId: id,
      kind: 'detect',
      maxAttempts: 3,
      missionId: mission.id,
      payload,
      priority,
      taskId,
    });
    this.#pending.push({ id, taskId, mission, ref, revision: 0, attempt: 0, worker: '' });
  }

  #dispatch(): void {
    const job = this.#pending.shift();
    if (job === undefined) return;
    job.attempt += 1;
    job.worker = `edge-${this.#random.below(40)}`;
    const { jobId, missionId, taskId } = job.ref;
    const leaseExpiresAt = new Date(this.#now() + 60_000).toISOString();
    this.#change(job, 'JobDispatched', {
      attempt: job.attempt,
      jobId,
      leaseExpiresAt,
      missionId,
      taskId,
      worker: job.worker,
    });
    this.#running.push(job);
  }

  #finish(): void {
    const index = this.#random.below(this.#running.length);
    const [job] = this.#running.splice(index, 1);
    if (job === undefined) {
      this.#dispatch();
      return;
    }
    const chance = this.#random.next();
    const { attempt, worker } = job;
    const { jobId, missionId, taskId } = job.ref;
    if (chance < 0.08) {
      const retryable = chance < 0.06;
      const message = 'The camera did not answer within 30 seconds.';
      this.#change(job, 'JobFailed', { attempt, jobId, message, missionId, reason: 'TIMEOUT', retryable, taskId });
      if (retryable && attempt < 3) {
        this.#pending.push(job);
        return;
      }
    } else if (chance < 0.1) {
      this.#change(job, 'JobCancelled', { jobId, missionId, reason: 'Not needed any more.', taskId });
    } else {
      const detections = [this.#random.below(640), this.#random.below(640)];
      const result = { confidence: this.#random.below(1_000) / 1_000, detections, model: 'yolo-n-3' };
      const cost = this.#random.below(500) / 100;
      this.#change(job, 'JobCompleted', { attempt, cost, jobId, missionId, result, taskId, worker });
    }
    job.mission.unfinished -= 1;
    if (job.mission.toCreate === 0 && job.mission.unfinished === 0) this.#close(job.mission);
  }

  #update(): void {
    const mission = this.#random.pick(this.#missions);
    // Updates go to separate streams, so that revisions of missions need not be remembered.
    if (mission.toCreate < 2) return;
    const task = this.#random.pick(mission.tasks);
    const name = `Sector ${this.#random.below(1_000)}`;
    this.#record('TaskUpdated', `task-${task}`, this.#position, { name, taskId: task });
  }

  #close(mission: OpenMission): void {
    this.#missions.splice(this.#missions.indexOf(mission), 1);
    const data = { missionId: mission.id, outcome: 'COMPLETED', reason: 'All sectors done.' };
    this.#record('MissionClosed', `mission-${mission.id}`, 1, data);
  }

  #change(job: OpenJob, type: EventType, data: object): void {
    job.revision += 1;
    this.#record(type, `job-${job.id}`, job.revision, data);
  }

  #record(type: EventType, stream: string, revision: number, data: object): void {
    this.#position += 1;
    const at = new Date(this.#now()).toISOString();
    const id = this.#id();
    const actor = type === 'JobCompleted' || type === 'JobFailed' ? 'worker' : 'operator';
    const metadata: EventMetadata = { actor, at, causationId: id, correlationId: id, schemaVersion: 1 };
    const row = {
      position: this.#position,
      stream,
      revision,
      id,
      type,
      etype: ETYPES[type],
      data: JSON.stringify(data),
      metadata: JSON.stringify(metadata),
      recorded_at: at,
    };
    this.#rows.push({ ...row, checksum: checksumOf(row) });
  }

  #id(): string {
    return this.#random.uuid(this.#now());
  }

  #now(): number {
    return START_MS + this.#position * STEP_MS;
  }
}

/** The rows of at least `count` events, some at a time. */
export function* historyRows(count: number): Generator<readonly EventRow[]> {
  const history = new History(1);
  let made = 0;
  while (made < count) {
    const rows = history.rows(Math.min(ROWS_AT_A_TIME, count - made));
    made += rows.length;
    yield rows;
    if (made % 200_000 < rows.length) progress(`a log of ${count.toLocaleString('en')} events: ${made} written`);
  }
}

/** Makes a log of at least `count` events, fast: in large batches and without waiting for the disk. Returns how many. */
export async function writeHistory(path: string, count: number): Promise<number> {
  await (await EmbeddedLog.open(path, systemClock)).close();
  const database = await RawDatabase.open(path);
  await database.exec('PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 4000');
  const fields = Array.from({ length: 10 }, (_, i) => `value->>${i}`).join(', ');
  const into = (number: number) =>
    database.prepare(`INSERT INTO ${tableOf(number)} SELECT ${fields} FROM jsonb_each(?)`);
  const partitioner = await Connection.open(path, 'write');
  const size = new PartitionSize(PARTITION_BYTES);
  let number = 1;
  let insert = into(number);
  let written = 0;
  let inserting = Promise.resolve();
  for (const rows of historyRows(count)) {
    const values = JSON.stringify(rows.map((row) => Object.values(row) as unknown[]));
    await inserting;
    const bytes = size.grew(values.length) ? await size.full(partitioner) : undefined;
    if (bytes !== undefined) {
      number += 1;
      const partition = { number, first: written + 1 };
      await partitioner.transaction('BEGIN IMMEDIATE', () => addPartition(partitioner, partition, bytes));
      insert = into(number);
    }
    inserting = insert.run([values]);
    written += rows.length;
  }
  await inserting;
  await partitioner.close();
  await database.close();
  return written;
}
