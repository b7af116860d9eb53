import { ChangeFeed } from '../../readmodels/change-feed.js';
import { changedJobs, type JobChangeFilter } from '../../readmodels/missions/job-queries.js';
import { changedMissions } from '../../readmodels/missions/mission-queries.js';
import type { CoreServices } from '../../services/core-services.js';
import { make } from '../kit/make.js';
import { perCore } from '../kit/per-core.js';
import { JobChange, jobFromRow } from './job-types.js';
import { MissionChange, missionFromRow } from './mission-types.js';

/** Missions as they change. Subscribers at the same position receive the same objects, so that work on them can be shared. */
export const missionChanges = perCore((services: CoreServices) => {
  return new ChangeFeed<MissionChange, string>(
    services.missions,
    async (after, id, limit) =>
      (await changedMissions(services.db, after, id, limit)).map((row) => ({
        position: BigInt(row.position),
        value: make(MissionChange, { position: services.token(row.position), mission: missionFromRow(row, services) }),
      })),
    (id, { mission }) => mission.id === id,
  );
});

/** Jobs as they change, with the same sharing. */
export const jobChanges = perCore((services: CoreServices) => {
  return new ChangeFeed<JobChange, JobChangeFilter>(
    services.missions,
    async (after, filter = {}, limit) =>
      (await changedJobs(services.db, after, filter, limit)).map((row) => ({
        position: BigInt(row.position),
        value: make(JobChange, { position: services.token(row.position), job: jobFromRow(row, services) }),
      })),
    ({ missionId, kinds }, { job }) =>
      (missionId === undefined || job.missionId === missionId) && (kinds === undefined || kinds.includes(job.kind)),
  );
});
