import 'reflect-metadata';
import type { Kysely } from 'kysely';
import { expect, it } from 'vitest';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { Feeds } from '../../../../src/infra/graphql/kit/feeds.js';
import { Nudge } from '../../../../src/infra/platform/nudge.js';
import type { Projector } from '../../../../src/infra/projector/projector.js';
import type { ProjectionStatus } from '../../../../src/infra/projector/status.js';
import type { MissionsDatabase } from '../../../../src/infra/readmodels/missions/database.js';

/** A projector of which only the status is asked. Each generation is told of as soon as the one before has been read. */
function projectorOf(generations: number) {
  const changed = new Nudge();
  let generation = 1;
  const status = (): Promise<ProjectionStatus> => {
    const read: ProjectionStatus = {
      ...{ name: 'missions', version: 1, state: 'LIVE', position: 0n, head: 0n },
      ...{ eventsPerSecond: 0, etaSeconds: 0, generation, error: null },
    };
    if (generation < generations) {
      generation += 1;
      changed.notify();
    }
    return Promise.resolve(read);
  };
  return { status, progressed: (signal: AbortSignal) => changed.wait(signal) } as unknown as Projector;
}

it('tells of what changed while the status before was read', async () => {
  const unused: unknown = {};
  const feeds = new Feeds(unused as EventLog, unused as Projector, unused as Kysely<MissionsDatabase>, String);
  const told: number[] = [];
  for await (const { generation } of feeds.progress(projectorOf(3), AbortSignal.timeout(10_000))) {
    told.push(generation);
    if (generation === 3) break;
  }
  expect(told).toEqual([1, 2, 3]);
});
