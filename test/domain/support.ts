import { expect } from 'vitest';
import type { Decider, Decision, Recorded } from '../../src/domain/decider.js';
import type { EventMetadata, Fact } from '../../src/domain/event.js';
import type { Problem } from '../../src/domain/problem.js';

/** A time `minutes` after noon. */
export function at(minutes: number): string {
  return new Date(Date.UTC(2031, 4, 1, 12, minutes)).toISOString();
}

/** The metadata of the event that happened `minutes` after noon. */
export function metadata(minutes: number): EventMetadata {
  return { at: at(minutes), actor: 'tester', correlationId: 'request', causationId: 'command', schemaVersion: 1 };
}

/** A value that is frozen at every depth. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) frozen(part);
  return value;
}

/** A decider with the way its facts become events: the n-th fact of a history happened n minutes after noon. */
export class Subject<Command, F extends Fact<string, object>, State> {
  readonly decider: Decider<Command, F, State>;
  readonly #record: (fact: F, metadata: EventMetadata) => Recorded<F>;

  constructor(decider: Decider<Command, F, State>, record: (fact: F, metadata: EventMetadata) => Recorded<NoInfer<F>>) {
    this.decider = decider;
    this.#record = record;
  }

  /** The event of a fact that happened `minutes` after noon. */
  event(fact: F, minutes: number): Recorded<F> {
    return frozen(this.#record(fact, metadata(minutes)));
  }

  /** The state after a history. */
  state(...past: readonly F[]): State {
    return past.reduce<State>(
      (state, fact, minutes) => frozen(this.decider.evolve(state, this.event(fact, minutes))),
      frozen(this.decider.initial),
    );
  }

  /** Begins a specification: given these facts, when this command, then those facts or that problem. */
  given(...past: readonly F[]): { when(command: Command): Outcome<F> } {
    return { when: (command) => new Outcome(this.decider.decide(this.state(...past), frozen(command))) };
  }
}

/** The result of a command. */
class Outcome<F extends Fact<string, object>> {
  readonly #decision: Decision<F>;

  constructor(decision: Decision<F>) {
    this.#decision = decision;
  }

  /** The command is accepted with exactly these facts. */
  thenFacts(...facts: readonly F[]): void {
    expect(this.#decision).toStrictEqual({ accepted: true, facts });
  }

  /** The command is accepted and there is nothing to record. */
  thenNothing(): void {
    this.thenFacts();
  }

  /** The command is refused with exactly this problem. */
  thenProblem(problem: Problem): void {
    expect(this.#decision).toStrictEqual({ accepted: false, problem });
  }

  /** The command is refused as invalid in exactly these fields. */
  thenInvalid(...paths: readonly string[]): void {
    const problem = this.#decision.accepted ? undefined : this.#decision.problem;
    expect(problem?.code).toBe('INVALID_INPUT');
    expect(problem?.code === 'INVALID_INPUT' && problem.fields.map(({ path }) => path)).toEqual(paths);
  }
}
