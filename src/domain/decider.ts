import type { DomainEvent, Fact } from './event.js';
import type { Problem } from './problem.js';

/** The result of deciding a command: the facts to record, or the problem for which it is refused. */
export type Decision<F extends Fact<string, object>> =
  { readonly accepted: true; readonly facts: readonly F[] } | { readonly accepted: false; readonly problem: Problem };

/** The event that is recorded for a fact. */
export type Recorded<F extends Fact<string, object>> =
  F extends Fact<infer Type, infer Data> ? DomainEvent<Type, Data> : never;

/**
 * The complete behaviour of one kind of aggregate, in three pure parts. Time and ids come in the command.
 * `evolve` refuses no event of a type it knows: an event that does not fit the state leaves the state unchanged.
 */
export interface Decider<Command, F extends Fact<string, object>, State> {
  readonly initial: State;
  readonly decide: (state: State, command: Command) => Decision<F>;
  readonly evolve: (state: State, event: Recorded<F>) => State;
}

/** Accepts a command with the facts that result from it; none when it changes nothing. */
export function accept<F extends Fact<string, object>>(...facts: readonly F[]): Decision<F> {
  return { accepted: true, facts };
}

/** Refuses a command with a problem. */
export function refuse(problem: Problem): { readonly accepted: false; readonly problem: Problem } {
  return { accepted: false, problem };
}

/** Fails to compile where a case of a union is not handled. @throws Error when such a case occurs */
export function unreachable(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
