import type { Problem } from '../../../domain/problem.js';
import type { Outcome } from '../../commands/handler.js';
import type { Consistency } from '../../services/durability.js';
import { settle, type ApiContext } from './context.js';
import { toProblemType, type ProblemType } from './problems.js';

/** Answers a mutation: waits until the change is as durable as asked, or names the problem. */
export async function answer<State, Payload extends object>(
  context: ApiContext,
  outcome: Outcome<State> | { readonly done: false; readonly problem: Problem },
  consistency: Consistency | null,
  payload: (done: {
    readonly state: State;
    readonly revision: bigint;
    readonly position: string;
    readonly durability: Consistency;
  }) => Payload,
): Promise<Payload | ProblemType> {
  if (!outcome.done) return toProblemType(outcome.problem);
  const { state, revision, position } = outcome;
  const durability = await settle(context, position, consistency);
  return payload({ state, revision, position: context.services.token(position), durability });
}

/** A state of what is there. */
export type Present<State extends { readonly status: string }> = Exclude<State, { readonly status: 'ABSENT' }>;

/** A state that a command has just changed, and which is therefore there. */
export function present<State extends { readonly status: string }>(state: State): Present<State> {
  if (state.status === 'ABSENT') throw new Error('a command that was carried out left nothing');
  return state as Present<State>;
}
