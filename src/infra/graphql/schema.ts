import 'reflect-metadata';
import { type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import { buildSchemaSync, type NonEmptyArray } from 'type-graphql';
import { allows, type Role } from '../access/auth.js';
import { EventQueries } from './events/resolver.js';
import type { ApiContext } from './kit/context.js';
import { apiError } from './kit/errors.js';
import { JobControlMutations, JobQueries, JobWorkMutations } from './missions/job-resolver.js';
import { MissionMutations, MissionQueries } from './missions/mission-resolver.js';
import { NodeQueries } from './missions/node-resolver.js';
import { TaskMutations, TaskQueries } from './missions/task-resolver.js';
import { ProjectionMutations, ProjectionQueries } from './projections/resolver.js';
import { ReplicationMutations, ReplicationQueries } from './replication/resolver.js';

/** A class of resolvers. */
export type ResolverClass = abstract new () => object;

const RESOLVERS: readonly ResolverClass[] = [
  NodeQueries,
  MissionQueries,
  MissionMutations,
  TaskQueries,
  TaskMutations,
  JobQueries,
  JobWorkMutations,
  JobControlMutations,
  EventQueries,
  ProjectionQueries,
  ProjectionMutations,
  ReplicationQueries,
  ReplicationMutations,
];

const QUERY = 'Queries read the log and the read models. They require the role viewer.';
const MUTATION =
  'Mutations append to the log or control this core. Mutations of tasks, and createJob, claimJobs, completeJob and failJob, require the role worker; all others require the role operator.';
const SUBSCRIPTION = 'Subscriptions are served over WebSocket (graphql-transport-ws). They require the role viewer.';

/** The schema. @param extra resolvers of a benchmark or a test, in addition to those of the API */
export function makeSchema(extra: readonly ResolverClass[] = []): GraphQLSchema {
  const schema = buildSchemaSync({
    resolvers: [...RESOLVERS, ...extra] as unknown as NonEmptyArray<() => void>,
    authChecker: ({ context: { caller } }: { context: ApiContext }, roles: Role[]) => {
      const needed = roles.find((one) => !allows(caller.role, one));
      if (needed === undefined) return true;
      throw apiError('FORBIDDEN', `This request requires the role ${needed}; the token has the role ${caller.role}.`);
    },
    // Deciders check their commands.
    validate: false,
    // The servers of the schema check it.
    skipCheck: true,
    // Every subscription has its own source.
    pubSub: { publish: () => undefined, subscribe: () => neverUsed() },
  });
  // TypeGraphQL takes no descriptions for the root types.
  const roots = [
    [schema.getQueryType(), QUERY],
    [schema.getMutationType(), MUTATION],
    [schema.getSubscriptionType(), SUBSCRIPTION],
  ] as const;
  for (const [type, description] of roots) if (type) type.description = description;
  return schema;
}

function neverUsed(): never {
  throw new Error('every subscription has its own source');
}

const HEADER = `# The GraphQL API of Sheratan. \`npm run schema\` generates it from src/infra/graphql; a test fails when the two differ.\n\n`;

/** The schema in the schema definition language, sorted, as `schema/schema.graphql` contains it. */
export function emitSdl(): string {
  return `${HEADER}${printSchema(lexicographicSortSchema(makeSchema()))}\n`;
}
