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

/** The schema. @param extra resolvers of a bench or a test, beside those of the API */
export function makeSchema(extra: readonly ResolverClass[] = []): GraphQLSchema {
  return buildSchemaSync({
    resolvers: [...RESOLVERS, ...extra] as unknown as NonEmptyArray<() => void>,
    authChecker: ({ context: { caller } }: { context: ApiContext }, roles: Role[]) => {
      const needed = roles.find((one) => !allows(caller.role, one));
      if (needed === undefined) return true;
      throw apiError('FORBIDDEN', `This needs the role ${needed}; the token has ${caller.role}.`);
    },
    // Deciders check what they are given; and every subscription brings its own source.
    validate: false,
    // Who serves it checks it too.
    skipCheck: true,
    pubSub: { publish: () => undefined, subscribe: () => neverUsed() },
  });
}

function neverUsed(): never {
  throw new Error('subscriptions bring their own source');
}

const HEADER = `# The GraphQL API of Sheratan. Made by \`npm run schema\` from src/infra/graphql; a test fails when it drifts.\n\n`;

/** The schema in its definition language, sorted, as `schema/schema.graphql` holds it. */
export function emitSdl(): string {
  return `${HEADER}${printSchema(lexicographicSortSchema(makeSchema()))}\n`;
}
