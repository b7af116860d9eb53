import type { DomainEvent, Fact } from './event.js';
import type { Problem } from './problem.js';

/** The outcome of judging a command: the facts to record, or the reason there are none. */
export type Decision<F extends Fact<string, object>> =
  { readonly accepted: true; readonly facts: readonly F[] } | { readonly accepted: false; readonly problem: Problem };

/** What turns facts of a type into events of that type. */
export type Recorded<F extends Fact<string, object>> =
  F extends Fact<infer Type, infer Data> ? DomainEvent<Type, Data> : never;

/**
 * The whole behaviour of one kind of aggregate as three pure parts. Time, ids and actor come in the command.
 * `evolve` is total: an event that does not fit the state leaves it unchanged, since what was recorded is never refused.
 */
export interface Decider<Command, F extends Fact<string, object>, State> {
  readonly initial: State;
  readonly decide: (state: State, command: Command) => Decision<F>;
  readonly evolve: (state: State, event: Recorded<F>) => State;
}

/** Accepts a command with the facts it leads to; none when it changes nothing. */
export function accept<F extends Fact<string, object>>(...facts: readonly F[]): Decision<F> {
  return { accepted: true, facts };
}

/** Refuses a command. */
export function refuse(problem: Problem): { readonly accepted: false; readonly problem: Problem } {
  return { accepted: false, problem };
}

/** Fails to compile where a union is not handled whole. */
export function unreachable(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
