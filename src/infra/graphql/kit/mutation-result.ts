import { createUnionType, type ClassType } from 'type-graphql';
import type { Problem } from '../../../domain/problem.js';
import { present, type Outcome, type Present } from '../../commands/handler.js';
import type { Durability } from '../../services/core-services.js';
import { waitUntilDurable, type ApiContext } from './context.js';
import { toProblemType, type ProblemType } from './problems.js';

/** A change that was made, as a payload shows it. */
export interface Change {
  readonly position: string;
  readonly durability: Durability;
}

/** The state of an aggregate after a change, and its revision. */
export interface Changed<State> {
  readonly state: State;
  readonly revision: bigint;
}

/**
 * The union that a mutation returns: its payload, or a problem.
 * @param name the name of the mutation, followed by `Result`
 */
export function resultOf<P extends ClassType, Q extends readonly ClassType[]>(
  name: string,
  payload: P,
  ...problems: Q
) {
  const mutation = name.charAt(0).toLowerCase() + name.slice(1).replace(/Result$/, '');
  const description = `\`${mutation}\` returns its payload when it succeeds; otherwise it returns a problem, and nothing was changed.`;
  return createUnionType({ name, description, types: () => [payload, ...problems] as const });
}

/** The result of a mutation: the payload, once the change is as durable as requested or the wait is over; or the problem. */
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
