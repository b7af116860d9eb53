import type { Decider } from '../../domain/decider.js';
import type { Fact } from '../../domain/event.js';
import type { JsonObject } from '../../domain/json.js';
import type { Problem } from '../../domain/problem.js';
import { schemaVersionOf } from '../../domain/upcast.js';
import { LogError, overloaded, WrongExpectedRevision } from '../eventlog/errors.js';
import type { AppendResult, EventLog, NewEvent } from '../eventlog/eventlog.js';
import type { Clock } from '../platform/clock.js';
import { derivedId, newId } from '../platform/ids.js';
import { KeyedQueue } from '../platform/keyed-queue.js';
import { keyProblem, type CommandContext } from './context.js';
import { advance, nothing, States, type Loaded } from './states.js';

/** How often a command is decided again after another process wrote to its stream. */
const MAX_CONFLICTS = 10;

/** The result of a command. */
export type Outcome<State> =
  | {
      readonly done: true;
      readonly state: State;
      readonly revision: bigint;
      readonly position: bigint;
      /** Whether this command recorded events; false when it changed nothing, or repeats an earlier command. */
      readonly recorded: boolean;
      /** Whether this is the result of an earlier command with the same idempotency key. */
      readonly repeated?: true;
    }
  | { readonly done: false; readonly problem: Problem };

/** The state of an aggregate that exists. */
export type Present<State extends { readonly status: string }> = Exclude<State, { readonly status: 'ABSENT' }>;

/** Narrows the state after an accepted command, whose aggregate therefore exists. @throws Error when it is ABSENT */
export function present<State extends { readonly status: string }>(state: State): Present<State> {
  if (state.status === 'ABSENT') throw new Error('a command was carried out, but its aggregate is absent');
  return state as Present<State>;
}

/** One command for one stream. */
export interface CommandRequest<C extends { readonly type: string }, F extends Fact<string, object>, S> {
  readonly decider: Decider<C, F, S>;
  readonly stream: string;
  /** Makes the command for the time at which it is decided. */
  readonly command: (at: string) => C;
  /** The hash of the caller's input; needed with an idempotency key. */
  readonly hash: string;
  /** Whether the stream's name was just generated, so that there is nothing to load. */
  readonly isNew?: boolean;
}

/** Carries out commands: load, decide, append at the revision that was loaded; repeated when another process appended first. */
export class CommandHandler {
  readonly #log: EventLog;
  readonly #clock: Clock;
  readonly #states: States;
  /** Commands for one stream run one after the other, so that they do not conflict with each other. */
  readonly #queue = new KeyedQueue();
  readonly #refusal: () => LogError | undefined;

  /** @param refusal the error that every command is refused with, as long as it returns one */
  constructor(log: EventLog, clock: Clock, refusal: () => LogError | undefined = () => undefined) {
    this.#log = log;
    this.#clock = clock;
    this.#refusal = refusal;
    this.#states = new States(log);
  }

  /** The current state of a stream in the log. */
  load<C, F extends Fact<string, object>, S>(decider: Decider<C, F, S>, stream: string): Promise<Loaded<S>> {
    return this.#states.load(decider, stream);
  }

  /**
   * Carries out one command. With an idempotency key its events are recorded once: a repetition is answered with the first
   * result. A command that changes nothing, or is refused, records no key and is decided again each time, so that a late
   * repetition may undo later changes by others, unless it pins a revision: docs/decisions/0006.
   * @throws LogError when the log cannot be written, LOG_OVERLOADED when too many commands wait for the stream, or
   * REPLICATION_STOPPED
   */
  async execute<C extends { readonly type: string }, F extends Fact<string, object>, S>(
    request: CommandRequest<C, F, S>,
    context: CommandContext,
  ): Promise<Outcome<S>> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const unusable = keyProblem(context.idempotencyKey);
    if (unusable !== undefined) return { done: false, problem: unusable };
    if (request.isNew === true) return this.#carryOut(request, context);
    const { stream } = request;
    const full = overloaded(`commands wait for '${stream}'`);
    return this.#queue.run(stream, () => this.#carryOut(request, context), full);
  }

  async #carryOut<C extends { readonly type: string }, F extends Fact<string, object>, S>(
    request: CommandRequest<C, F, S>,
    context: CommandContext,
  ): Promise<Outcome<S>> {
    const { decider, stream, isNew = false } = request;
    // A remembered state may be behind. It suffices to append, because the log checks the revision, and to answer a
    // repetition, because a recorded key never changes; but not to refuse a command or to decide that it changes nothing.
    let loaded = isNew ? nothing(decider) : this.#states.remembered(decider, stream);
    let isFresh = isNew || loaded === undefined;
    loaded ??= await this.#states.load(decider, stream);
    for (let conflicts = 0; ;) {
      const decided = await this.#decide(request, context, loaded);
      if ('outcome' in decided) {
        const isRepeated = decided.outcome.done && decided.outcome.repeated === true;
        if (isFresh || isRepeated) return decided.outcome;
        loaded = await this.#states.load(decider, stream);
        isFresh = true;
        continue;
      }
      try {
        const { events } = decided;
        const expected = loaded.revision < 0n ? 'no-stream' : loaded.revision;
        const result = await this.#log.append(stream, events, expected);
        if (context.idempotencyKey !== undefined)
          return await this.#recorded(request, loaded, events, context.idempotencyKey);
        return this.#appended(request, loaded, events, result);
      } catch (error) {
        this.#states.forget(stream);
        if (!(error instanceof WrongExpectedRevision)) throw invalidEvent(error);
        if (context.expectedRevision !== undefined) return conflict(stream, context.expectedRevision, error.actual);
        conflicts += 1;
        if (conflicts > MAX_CONFLICTS) return conflict(stream, loaded.revision, error.actual);
        loaded = await this.#states.load(decider, stream);
        isFresh = true;
      }
    }
  }

  /** The events of a command, or its outcome when it has no events to append. */
  async #decide<C extends { readonly type: string }, F extends Fact<string, object>, S>(
    { decider, stream, command, hash }: CommandRequest<C, F, S>,
    context: CommandContext,
    loaded: Loaded<S>,
  ): Promise<{ readonly outcome: Outcome<S> } | { readonly events: readonly NewEvent[] }> {
    const { idempotencyKey: key, expectedRevision, actor, correlationId } = context;
    const at = context.at ?? this.#clock.now().toISOString();
    const issued = command(at);
    const eventId = (index: number) =>
      key === undefined ? newId() : derivedId(actor, key, issued.type, stream, index);
    const first = key === undefined ? undefined : loaded.keyed.get(eventId(0));
    if (first !== undefined && key !== undefined) {
      if (first.hash !== hash) return { outcome: { done: false, problem: mismatch(key) } };
      const then = await this.#states.loadAt(decider, stream, first.revision);
      const { state, revision, position } = then;
      return { outcome: { done: true, state, revision, position, recorded: false, repeated: true } };
    }
    if (expectedRevision !== undefined && expectedRevision !== loaded.revision) {
      return { outcome: conflict(stream, expectedRevision, loaded.revision) };
    }
    const decision = decider.decide(loaded.state, issued);
    if (!decision.accepted) return { outcome: { done: false, problem: decision.problem } };
    if (decision.facts.length === 0) {
      const { state, revision, position } = loaded;
      return { outcome: { done: true, state, revision, position, recorded: false } };
    }
    const idempotency = key === undefined ? {} : { idempotency: { key, hash } };
    const events = decision.facts.map(({ type, data }, index) => {
      const metadata = { at, actor, correlationId, causationId: correlationId, schemaVersion: schemaVersionOf(type) };
      return { id: eventId(index), type, data: data as JsonObject, metadata: { ...metadata, ...idempotency } };
    });
    return { events };
  }

  #appended<C extends { readonly type: string }, F extends Fact<string, object>, S>(
    { decider, stream }: CommandRequest<C, F, S>,
    before: Loaded<S>,
    events: readonly NewEvent[],
    { revision, position }: AppendResult,
  ): Outcome<S> {
    const first = revision - BigInt(events.length) + 1n;
    const loaded = events.reduce(
      (state, event, i) => advance(decider, state, { ...event, revision: first + BigInt(i), position }),
      before,
    );
    this.#states.remember(stream, loaded);
    return { done: true, state: loaded.state, revision, position, recorded: true };
  }

  /**
   * The outcome of an append under an idempotency key, read from the log. Another request with that key may have appended
   * first: the log then has that request's events, which have the same ids but may come from another input.
   */
  async #recorded<C extends { readonly type: string }, F extends Fact<string, object>, S>(
    { decider, stream, hash }: CommandRequest<C, F, S>,
    before: Loaded<S>,
    events: readonly NewEvent[],
    key: string,
  ): Promise<Outcome<S>> {
    let loaded = before;
    for await (const event of this.#log.readStream(stream, { from: before.revision + 1n, limit: events.length })) {
      loaded = advance(decider, loaded, event);
    }
    this.#states.remember(stream, loaded);
    if (events.some(({ id }) => loaded.keyed.get(id)?.hash !== hash)) return { done: false, problem: mismatch(key) };
    const { state, revision, position } = loaded;
    return { done: true, state, revision, position, recorded: true };
  }
}

function conflict(stream: string, expected: bigint, actual: bigint): { done: false; problem: Problem } {
  return {
    done: false,
    problem: {
      code: 'CONCURRENCY_CONFLICT',
      message: `'${stream}' is at revision ${actual}, not ${expected}. Read it again before you repeat the command.`,
      expectedRevision: expected.toString(),
      actualRevision: actual.toString(),
    },
  };
}

function mismatch(key: string): Problem {
  return {
    code: 'IDEMPOTENCY_MISMATCH',
    message: `The idempotency key '${key}' was used before with another input. Use a new key for a new request.`,
    key,
  };
}

/** The deciders' limits are tighter than the log's, so an event that the log finds invalid is reported as a defect. */
function invalidEvent(error: unknown): unknown {
  if (error instanceof LogError && error.code === 'EVENT_INVALID') {
    return new Error(`a decider produced an event that the log refuses: ${error.message}`, { cause: error });
  }
  return error;
}
