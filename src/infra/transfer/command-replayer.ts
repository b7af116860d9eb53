import { LRUCache } from 'lru-cache';
import { unreachable, type Recorded } from '../../domain/decider.js';
import { LEASE_EXPIRED, type JobFact } from '../../domain/job.js';
import type { MissionFact } from '../../domain/mission.js';
import type { Problem } from '../../domain/problem.js';
import type { TaskFact } from '../../domain/task.js';
import { upcast } from '../../domain/upcast.js';
import type { Commands } from '../commands/commands.js';
import { type CommandContext, inputHash } from '../commands/context.js';
import type { Outcome } from '../commands/handler.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError } from './import-report.js';

/** The most attempts whose workers are remembered. */
const MAX_ATTEMPTS = 100_000;
/** The most tries of a dispatch that another writer's change to the job interrupts. */
const MAX_TRIES = 10;
/** The worker recorded for an attempt whose holder is unknown. */
const UNKNOWN_WORKER = 'unknown';

type Event = Recorded<MissionFact | TaskFact | JobFact>;
type EventOf<Type extends Event['type']> = Extract<Event, { type: Type }>;

const TYPES: Readonly<Record<Event['type'], true>> = {
  MissionCreated: true,
  MissionUpdated: true,
  MissionClosed: true,
  TaskCreated: true,
  TaskUpdated: true,
  JobCreated: true,
  JobDispatched: true,
  JobCompleted: true,
  JobFailed: true,
  JobCancelled: true,
};

/** Carries out the commands behind exported events again, so that each is decided on the log at hand. */
export class CommandReplayer {
  readonly #commands: Commands;
  /** The worker of each attempt according to the export, which may differ from the one in this log. */
  readonly #workers = new LRUCache<string, string>({ max: MAX_ATTEMPTS });

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Notes what an event implies for later ones, whether its command is accepted or not. */
  note({ event: { type, data } }: ExportedEvent): void {
    if (type !== 'JobDispatched') return;
    const { jobId, attempt, worker } = data as EventOf<'JobDispatched'>['data'];
    this.#workers.set(`${attempt}:${jobId}`, worker);
  }

  /**
   * Carries out the command behind an event, with the event's time and actor.
   * @throws LineError when no command records such an event; LogError
   */
  async replay({ event }: ExportedEvent, idempotencyKey: string): Promise<Outcome<unknown>> {
    if (!Object.hasOwn(TYPES, event.type))
      throw new LineError(`no command on missions, tasks or jobs records a ${event.type}`);
    const current = upcast(event) as unknown as Event;
    const { at, actor, correlationId } = current.metadata;
    return this.#carryOut(current, { at, actor, correlationId, idempotencyKey });
  }

  #carryOut({ type, data }: Event, context: CommandContext): Promise<Outcome<unknown>> {
    const commands = this.#commands;
    switch (type) {
      case 'MissionCreated': {
        const { missionId, ...fields } = data;
        return commands.createMission({ ...fields, id: missionId }, context);
      }
      case 'MissionUpdated': {
        const { missionId, ...changes } = data;
        return commands.updateMission(missionId, changes, context);
      }
      case 'MissionClosed':
        return commands.closeMission(data.missionId, data.outcome, data.reason, context);
      case 'TaskCreated': {
        const { taskId, ...fields } = data;
        return commands.createTask({ ...fields, id: taskId }, context);
      }
      case 'TaskUpdated': {
        const { taskId, missionId: _, ...changes } = data;
        return commands.updateTask(taskId, changes, context);
      }
      case 'JobCreated': {
        const { jobId, missionId: _, ...fields } = data;
        return commands.createJob({ ...fields, id: jobId }, context);
      }
      case 'JobDispatched':
        return this.#dispatch(data, context);
      case 'JobCompleted':
        return commands.completeJob(data, data.result, data.cost, context);
      case 'JobFailed':
        return this.#fail(data, context);
      case 'JobCancelled':
        return commands.cancelJob(data.jobId, data.reason, context);
      default:
        return unreachable(type);
    }
  }

  /** The attempt must have the same number here: otherwise the answer to one attempt would be taken for another's. */
  async #dispatch(data: EventOf<'JobDispatched'>['data'], context: CommandContext): Promise<Outcome<unknown>> {
    const { jobId, worker, attempt, leaseExpiresAt } = data;
    const leaseSeconds = (Date.parse(leaseExpiresAt) - Date.parse(context.at ?? '')) / 1_000;
    const hash = inputHash({ jobId, worker, attempt, leaseSeconds });
    for (let tries = 1; ; tries += 1) {
      const { state, revision } = await this.#commands.currentJob(jobId);
      if (state.status === 'PENDING' && state.attempt + 1 !== attempt)
        return { done: false, problem: otherAttempt(jobId, attempt, state.attempt) };
      const pinned = revision < 0n ? context : { ...context, expectedRevision: revision };
      const outcome = await this.#commands.dispatchJob(jobId, worker, leaseSeconds, hash, pinned);
      if (outcome.done || outcome.problem.code !== 'CONCURRENCY_CONFLICT' || tries === MAX_TRIES) return outcome;
    }
  }

  async #fail(data: EventOf<'JobFailed'>['data'], context: CommandContext): Promise<Outcome<unknown>> {
    const { jobId, attempt, reason, message, retryable } = data;
    if (reason === LEASE_EXPIRED) return this.#commands.expireLease(jobId, attempt, context);
    const { state } = await this.#commands.currentJob(jobId);
    const holder = state.status === 'ABSENT' ? null : state.worker;
    const worker = this.#workers.get(`${attempt}:${jobId}`) ?? holder ?? UNKNOWN_WORKER;
    return this.#commands.failJob({ jobId, worker, attempt }, { reason, message, retryable }, context);
  }
}

function otherAttempt(jobId: string, attempt: number, currentAttempt: number): Problem {
  const message = `Job '${jobId}' has had ${currentAttempt} attempts in this log: the next attempt is ${currentAttempt + 1}, not ${attempt}.`;
  return { code: 'STALE_ATTEMPT', message, jobId, attempt, currentAttempt };
}
