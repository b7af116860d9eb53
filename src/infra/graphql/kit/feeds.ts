import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { RecordedEvent } from '../../../domain/event.js';
import type { EventFilter, EventLog } from '../../eventlog/eventlog.js';
import { LinkedSignal } from '../../platform/linked-signal.js';
import type { ReplicationStatus } from '../../offgrid/replication/status.js';
import type { Projector } from '../../projector/projector.js';
import { ChangeFeed } from '../../readmodels/change-feed.js';
import type { MissionsDatabase } from '../../readmodels/missions/database.js';
import { EventRecord, toEvent } from '../events/types.js';
import { changedJobs, type JobChangeFilter } from '../../readmodels/missions/job-queries.js';
import { JobChange, jobFromRow } from '../missions/job-types.js';
import { changedMissions } from '../../readmodels/missions/mission-queries.js';
import { MissionChange, missionFromRow } from '../missions/mission-types.js';
import { toProjection, type Projection } from '../projections/types.js';

/** How long a subscription of a status rests between two values, in milliseconds. */
const STATUS_INTERVAL_MS = 200;
/** How long may pass until what no commit tells of, such as a host that is away, is seen, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;
/** Events of a subscription read at a time. */
const EVENT_BATCH = 100;

/** What subscriptions draw from. Subscribers at the same place are given the same objects, so work on them can be shared. */
export class Feeds {
  readonly missions: ChangeFeed<MissionChange, string>;
  readonly jobs: ChangeFeed<JobChange, JobChangeFilter>;
  readonly #log: EventLog;
  readonly #token: (position: bigint) => string;
  readonly #records = new WeakMap<RecordedEvent, EventRecord>();

  constructor(log: EventLog, projector: Projector, db: Kysely<MissionsDatabase>, token: (position: bigint) => string) {
    this.#log = log;
    this.#token = token;
    const rowToken = (position: string) => token(BigInt(position));
    this.missions = new ChangeFeed(
      projector,
      async (after, id, limit) =>
        (await changedMissions(db, after, id, limit)).map((row) => {
          const fields = { position: rowToken(row.position), mission: missionFromRow(row, rowToken) };
          return { position: BigInt(row.position), value: Object.assign(new MissionChange(), fields) };
        }),
      (id, { mission }) => mission.id === id,
    );
    this.jobs = new ChangeFeed(
      projector,
      async (after, filter = {}, limit) =>
        (await changedJobs(db, after, filter, limit)).map((row) => {
          const fields = { position: rowToken(row.position), job: jobFromRow(row, rowToken) };
          return { position: BigInt(row.position), value: Object.assign(new JobChange(), fields) };
        }),
      ({ missionId, kinds }, { job }) =>
        (missionId === undefined || job.missionId === missionId) && (kinds === undefined || kinds.includes(job.kind)),
    );
  }

  /** The log itself from a position on. */
  async *events(after: bigint, filter: EventFilter, signal: AbortSignal): AsyncIterable<EventRecord> {
    for await (const { events } of this.#log.subscribe({ after, filter, signal, batchSize: EVENT_BATCH })) {
      for (const event of events) {
        let record = this.#records.get(event);
        if (record === undefined) {
          const fields = { position: this.#token(event.position), event: toEvent(event, this.#token) };
          record = Object.assign(new EventRecord(), fields);
          this.#records.set(event, record);
        }
        yield record;
      }
    }
  }

  /** A projection's status: now, and after it may have changed. */
  async *progress(projector: Projector, signal: AbortSignal): AsyncIterable<Projection> {
    let last = '';
    while (!signal.aborted) {
      // What changes from here on, though it be before the status is read or while it is taken, is told.
      const changed = projector.progressed(signal);
      const projection = toProjection(await projector.status(), this.#token);
      const shown = JSON.stringify(projection);
      if (shown !== last) yield projection;
      last = shown;
      await delay(STATUS_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      await changed;
    }
  }

  /** How replication is: now, and after it may have changed. */
  async *replication(
    outbox: Projector,
    read: () => Promise<ReplicationStatus>,
    signal: AbortSignal,
  ): AsyncIterable<ReplicationStatus> {
    let last = '';
    while (!signal.aborted) {
      const waiting = new LinkedSignal(signal);
      const changed = Promise.race([
        outbox.committed(waiting.signal),
        delay(LOOK_AGAIN_MS, undefined, { signal: waiting.signal }).catch(() => undefined),
      ]);
      try {
        const status = await read();
        const shown = JSON.stringify(status);
        if (shown !== last) yield status;
        last = shown;
        await delay(STATUS_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
        await changed;
      } finally {
        waiting.end();
      }
    }
  }
}
