/**
 * A core with an additional mutation that does nothing, in a process of its own: `node serve-run.js <data folder> [server of its log]`. Prints
 * its address; stops when its input ends.
 */
import 'reflect-metadata';
import { pino } from 'pino';
import { Arg, Authorized, Ctx, Mutation, Resolver } from 'type-graphql';
import { systemClock } from '../../src/infra/platform/clock.js';
import { newId } from '../../src/infra/platform/ids.js';
import { readConfig } from '../../src/infra/app/config.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../../src/infra/graphql/kit/consistency.js';
import { make } from '../../src/infra/graphql/kit/make.js';
import type { Durability } from '../../src/infra/services/core-services.js';
import type { ApiContext } from '../../src/infra/graphql/kit/context.js';
import {
  CreateMissionInput,
  CreateMissionPayload,
  CreateMissionResult,
  Mission,
} from '../../src/infra/graphql/missions/mission-types.js';
import { startNode } from '../../src/infra/app/node.js';

/** Takes and returns what `createMission` does, and keeps nothing. */
@Authorized('operator')
@Resolver()
class NothingMutations {
  @Mutation(() => CreateMissionResult)
  doNothing(
    @Arg('input', () => CreateMissionInput) { title, description, metadata, tags }: CreateMissionInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() { services }: ApiContext,
  ): CreateMissionPayload {
    const at = systemClock.now().toISOString();
    const position = services.token(0n);
    const mission = make(Mission, {
      id: newId(),
      title,
      description: description ?? '',
      metadata: metadata ?? {},
      tags: tags ?? [],
      status: 'OPEN',
      closedReason: null,
      createdAt: at,
      updatedAt: at,
      revision: 0,
      position,
    });
    return make(CreateMissionPayload, { position, durability: consistency ?? 'PROJECTED', mission });
  }
}

const [dataDir = '', logUrl = ''] = process.argv.slice(2);
const log = logUrl === '' ? {} : { SHERATAN_EVENTSTORE_URL: logUrl };
const node = await startNode(
  readConfig({ SHERATAN_DATA_DIR: dataDir, SHERATAN_PORT: '0', OFFGRID_STORAGE_ENABLED: 'false', ...log }),
  {
    clock: systemClock,
    logger: pino({ level: 'error' }),
    resolvers: [NothingMutations],
  },
);
console.log(node.url);
process.stdin.on('end', () => void node.stop()).resume();
