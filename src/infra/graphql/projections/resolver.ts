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

@Authorized('viewer')
@Resolver(() => Projection)
export class ProjectionQueries {
  @Query(() => [Projection])
  projections(@Ctx() { services }: ApiContext): Promise<Projection[]> {
    const token = (position: bigint) => services.token(position);
    return Promise.all([...services.projectors.values()].map(async (one) => toProjection(await one.status(), token)));
  }

  @Authorized('operator')
  @FieldResolver(() => String, {
    nullable: true,
    description:
      'SHA-256 over every row: equal digests, equal stories. It reads the whole read model, so operators only.',
  })
  async digest(@Root() { name }: Projection, @Ctx() { services }: ApiContext): Promise<string | null> {
    return (await services.projectors.get(name)?.digest())?.digest ?? null;
  }

  @Subscription(() => Projection, {
    description: 'How projections get on: the state now, then whenever it changes, a few times a second at most.',
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
    @Arg('name', () => String, { nullable: true, description: '`missions` unless given.' }) _name: string | null,
  ): Projection {
    return projection;
  }
}

@Authorized('operator')
@Resolver()
export class ProjectionMutations {
  @Mutation(() => RebuildProjectionResult, { description: 'Builds a read model anew, beside the live one.' })
  rebuildProjection(
    @Arg('name', () => String) name: string,
    @Ctx() context: ApiContext,
  ): Promise<RebuildProjectionPayload | ProblemType> {
    return tell(context, name, RebuildProjectionPayload, (projector) => Promise.resolve(projector.rebuild()));
  }

  @Mutation(() => CancelRebuildResult, { description: 'Ends a rebuild and drops what it built.' })
  cancelRebuild(
    @Arg('name', () => String) name: string,
    @Ctx() context: ApiContext,
  ): Promise<CancelRebuildPayload | ProblemType> {
    return tell(context, name, CancelRebuildPayload, (projector) => projector.cancelRebuild());
  }

  @Mutation(() => RollbackProjectionResult, { description: 'Goes back to the generation before the last rebuild.' })
  rollbackProjection(
    @Arg('name', () => String) name: string,
    @Ctx() context: ApiContext,
  ): Promise<RollbackProjectionPayload | ProblemType> {
    return tell(context, name, RollbackProjectionPayload, (projector) => projector.rollback());
  }

  @Mutation(() => ResumeProjectionResult, {
    description: 'Goes on after a halt: tries the event again, or skips it, which is recorded.',
  })
  resumeProjection(
    @Arg('name', () => String) name: string,
    @Arg('skip', () => Boolean, { nullable: true, defaultValue: false }) skip: boolean | null,
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
