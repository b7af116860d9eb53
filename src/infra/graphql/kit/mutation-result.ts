import { createUnionType, type ClassType } from 'type-graphql';
import type { Problem } from '../../../domain/problem.js';
import { present, type Outcome, type Present } from '../../commands/handler.js';
import type { Durability } from '../../services/core-services.js';
import { waitUntilDurable, type ApiContext } from './context.js';
import { toProblemType, type ProblemType } from './problems.js';

/** A change that was made, as a payload tells it. */
export interface Change {
  readonly position: string;
  readonly durability: Durability;
}

/** The state of what is there, and its revision. */
export interface Changed<State> {
  readonly state: State;
  readonly revision: bigint;
}

/** The result of a mutation: its payload, or a problem. */
export function resultOf<P extends ClassType, Q extends readonly ClassType[]>(
  name: string,
  payload: P,
  ...problems: Q
) {
  return createUnionType({ name, types: () => [payload, ...problems] as const });
}

/** Answers a mutation: waits until the change is as durable as asked, or names the problem. */
export async function mutationResult<State extends { readonly status: string }, Payload extends object>(
  context: ApiContext,
  outcome: Outcome<State> | { readonly done: false; readonly problem: Problem },
  consistency: Durability | null,
  payload: (change: Change, changed: Changed<Present<State>>) => Payload,
): Promise<Payload | ProblemType> {
  if (!outcome.done) return toProblemType(outcome.problem);
  const { state, revision, position } = outcome;
  const durability = await waitUntilDurable(context, position, consistency);
  return payload({ position: context.services.token(position), durability }, { state: present(state), revision });
}
