import { Arg, Authorized, Ctx, FieldResolver, Mutation, Query, Resolver, Root, Subscription } from 'type-graphql';
import { notFound, type Problem } from '../../../domain/problem.js';
import type { Projector, Refusal } from '../../projector/projector.js';
import type { ApiContext } from '../kit/context.js';
import { RequestError } from '../../readmodels/request-error.js';
import { given } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { statusChanges } from '../kit/status-changes.js';
import { untilReturned } from '../kit/subscribe.js';
import {
  CancelRebuildPayload,
  CancelRebuildResult,
  Projection,
  type ProjectionPayload,
  RebuildProjectionPayload,
  RebuildProjectionResult,
  ResumeProjectionPayload,
  ResumeProjectionResult,
  RollbackProjectionPayload,
  RollbackProjectionResult,
  toProjection,
} from './types.js';

/** The `name` of a projection, as an argument. */
const NAME_ARG = {
  description: 'The mutation is about the projection with this name: `missions` or `outbox`.',
} as const;

/** Queries and a subscription about projections. */
@Authorized('viewer')
@Resolver(() => Projection)
export class ProjectionQueries {
  @Query(() => [Projection], { description: 'This returns every projection of this core.' })
  projections(@Ctx() { services }: ApiContext): Promise<Projection[]> {
    const token = (position: bigint) => services.token(position);
    return Promise.all([...services.projectors.values()].map(async (one) => toProjection(await one.status(), token)));
  }

  @Authorized('operator')
  @FieldResolver(() => String, {
    nullable: true,
    description:
      'This is the SHA-256, in hexadecimal, of every row of the live tables, without values that belong to this copy of the log: equal digests mean equal contents. It reads the complete read model, and requires the role operator.',
  })
  async digest(@Root() { name }: Projection, @Ctx() { services }: ApiContext): Promise<string | null> {
    return (await services.projectors.get(name)?.digest())?.digest ?? null;
  }

  @Subscription(() => Projection, {
    description:
      'This returns the state of a projection now, and again each time it changes, at most five times a second.',
    subscribe: ({ args, context: { services } }: { args: { name?: string }; context: ApiContext }) => {
      const name = given(args.name) ?? 'missions';
      const projector = services.projectors.get(name);
      if (projector === undefined) throw new RequestError('BAD_USER_INPUT', notFound('Projection', name).message);
      const token = (position: bigint) => services.token(position);
      const read = async () => toProjection(await projector.status(), token);
      return untilReturned((signal) => statusChanges(read, (waiting) => projector.progressed(waiting), signal));
    },
  })
  projectionProgress(
    @Root() projection: Projection,
    @Arg('name', () => String, {
      nullable: true,
      description: 'The subscription is about the projection with this name: `missions` (the default) or `outbox`.',
    })
    _name: string | null,
  ): Projection {
    return projection;
  }
}

/** Mutations that control projections. */
@Authorized('operator')
@Resolver()
export class ProjectionMutations {
  @Mutation(() => RebuildProjectionResult, {
    description: 'This starts to rebuild a read model from the log, beside the live tables.',
  })
  rebuildProjection(
    @Arg('name', () => String, NAME_ARG) name: string,
    @Ctx() context: ApiContext,
  ): Promise<RebuildProjectionPayload | ProblemType> {
    return tell(context, name, RebuildProjectionPayload, (projector) => Promise.resolve(projector.rebuild()));
  }

  @Mutation(() => CancelRebuildResult, { description: 'This cancels a rebuild and drops the tables that it built.' })
  cancelRebuild(
    @Arg('name', () => String, NAME_ARG) name: string,
    @Ctx() context: ApiContext,
  ): Promise<CancelRebuildPayload | ProblemType> {
    return tell(context, name, CancelRebuildPayload, (projector) => projector.cancelRebuild());
  }

  @Mutation(() => RollbackProjectionResult, {
    description: 'This restores the generation before the last rebuild, which then catches up with the log.',
  })
  rollbackProjection(
    @Arg('name', () => String, NAME_ARG) name: string,
    @Ctx() context: ApiContext,
  ): Promise<RollbackProjectionPayload | ProblemType> {
    return tell(context, name, RollbackProjectionPayload, (projector) => projector.rollback());
  }

  @Mutation(() => ResumeProjectionResult, {
    description: 'This resumes a halted projection: it folds the event again, or skips it.',
  })
  resumeProjection(
    @Arg('name', () => String, NAME_ARG) name: string,
    @Arg('skip', () => Boolean, {
      nullable: true,
      defaultValue: false,
      description:
        'If this is true, the event is skipped, which is recorded; an event with the failure NEWER_EVENT cannot be skipped. The default is false.',
    })
    skip: boolean | null,
    @Ctx() context: ApiContext,
  ): Promise<ResumeProjectionPayload | ProblemType> {
    return tell(context, name, ResumeProjectionPayload, (projector) => projector.resume(skip ?? false));
  }
}

async function tell<P extends ProjectionPayload>(
  { services }: ApiContext,
  name: string,
  payload: new () => P,
  what: (projector: Projector) => Promise<Refusal | undefined>,
): Promise<P | ProblemType> {
  const projector = services.projectors.get(name);
  if (projector === undefined) return toProblemType(notFound('Projection', name));
  const refusal = await what(projector);
  if (refusal !== undefined) {
    const problem: Problem = { code: 'PROJECTION_STATE', message: refusal.refused, name };
    return toProblemType(problem);
  }
  const projection = toProjection(await projector.status(), (position) => services.token(position));
  return make<ProjectionPayload>(payload, { projection }) as P;
}
