import type { Kysely } from 'kysely';
import pLimit from 'p-limit';
import type { Job } from '../../domain/job.js';
import { invalidInput, type Problem } from '../../domain/problem.js';
import { Checks, LIMITS } from '../../domain/rules.js';
import { claimKey } from '../../projections/missions.js';
import { overloaded } from '../eventlog/errors.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { KeyedQueue } from '../platform/keyed-queue.js';
import type { Projector } from '../projector/projector.js';
import type { MissionsDatabase } from '../readmodels/missions/database.js';
import { jobsClaimedUnder, nextJobs } from '../readmodels/missions/job-queries.js';
import type { Commands } from './commands.js';
import { type CommandContext, inputHash, keyProblem } from './context.js';

/** The most jobs of one claim. */
const MAX_CLAIM = 100;
/** How long a claim with an idempotency key waits for the read model to reach the end of the log, in milliseconds. */
const CATCH_UP_MS = 5_000;

/** A worker's request for jobs. */
export interface ClaimRequest {
  readonly worker: string;
  /** The kinds of job that the worker can do; by default any. */
  readonly kinds?: readonly string[] | undefined;
  readonly limit: number;
  readonly leaseSeconds: number;
}

/** A job that was claimed, with its revision and position. */
export interface ClaimedJob {
  readonly job: Job;
  readonly revision: bigint;
  readonly position: bigint;
}

/** The result of a claim. */
export type ClaimOutcome =
  | { readonly done: true; readonly jobs: readonly ClaimedJob[]; readonly position: bigint }
  | { readonly done: false; readonly problem: Problem }
  /** The read model does not show yet what was claimed under the key before. Nothing was claimed; `behind` is the message. */
  | { readonly done: false; readonly behind: string };

/**
 * Hands pending jobs to workers: higher priority first, then older. Candidates come from the read model; the dispatch of each
 * is appended at the revision that was loaded, so of two claims of one job one is refused and takes another job.
 */
export class JobQueue {
  readonly #commands: Commands;
  readonly #log: EventLog;
  readonly #projector: Projector;
  readonly #db: Kysely<MissionsDatabase>;
  /**
   * Jobs that the read model may wrongly show as pending, with the position that it must reach; undefined while the dispatch
   * is under way.
   */
  readonly #reserved = new Map<string, bigint | undefined>();
  /** One claim chooses at a time, so that concurrent claims choose different jobs. */
  readonly #choosing = pLimit(1);
  /** A second claim with the same idempotency key waits, and then finds what the first one claimed. */
  readonly #keyed = new KeyedQueue();

  constructor(commands: Commands, log: EventLog, projector: Projector) {
    this.#commands = commands;
    this.#log = log;
    this.#projector = projector;
    this.#db = projector.file.reads<MissionsDatabase>();
  }

  /**
   * Claims up to `limit` jobs for a worker; fewer when there are no more, or when the log failed after some were claimed.
   * @throws LogError when the log failed before any job was claimed
   */
  async claim(request: ClaimRequest, context: CommandContext): Promise<ClaimOutcome> {
    const problem = check(request);
    if (problem !== undefined) return { done: false, problem };
    const { idempotencyKey: key } = context;
    if (key === undefined) return this.#claim(request, '', context);
    const unusable = keyProblem(key);
    if (unusable !== undefined) return { done: false, problem: unusable };
    const hash = inputHash(request);
    return this.#keyed.run(
      `${context.actor} ${key}`,
      async () => (await this.#earlierClaim(hash, context, key)) ?? this.#claim(request, hash, context),
      overloaded(`claims wait under the key '${key}'`),
    );
  }

  async #claim(request: ClaimRequest, hash: string, context: CommandContext): Promise<ClaimOutcome> {
    const jobs: ClaimedJob[] = [];
    const tried = new Set<string>();
    try {
      while (jobs.length < request.limit) {
        const wanted = request.limit - jobs.length;
        const ids = await this.#choosing(() => this.#choose(request, wanted, tried));
        if (ids.length === 0) break;
        const dispatched = await Promise.allSettled(ids.map((id) => this.#dispatch(id, request, hash, context)));
        for (const result of dispatched) if (result.status === 'fulfilled') jobs.push(...result.value);
        const failed = dispatched.find(({ status }) => status === 'rejected');
        if (failed?.status === 'rejected') throw failed.reason;
      }
    } catch (error) {
      // Dispatched jobs are leased already, so the worker must receive them even though the rest failed.
      if (jobs.length === 0) throw error;
    }
    return { done: true, jobs, position: lastOf(jobs) ?? this.#projector.position };
  }

  async #dispatch(
    id: string,
    { worker, leaseSeconds }: ClaimRequest,
    hash: string,
    context: CommandContext,
  ): Promise<ClaimedJob[]> {
    let until: bigint | undefined;
    try {
      const outcome = await this.#commands.dispatchJob(id, worker, leaseSeconds, hash, context);
      // Refused: the read model is behind, or another core dispatched the job first. At the log's present head it is correct.
      until = outcome.done ? outcome.position : await this.#log.head();
      if (!outcome.done || outcome.repeated === true || outcome.state.status === 'ABSENT') return [];
      return [{ job: outcome.state, revision: outcome.revision, position: outcome.position }];
    } finally {
      if (until === undefined) this.#reserved.delete(id);
      else this.#reserved.set(id, until);
    }
  }

  /** What was claimed under this key before. Only a read model at the end of the log can show that it was nothing. */
  async #earlierClaim(hash: string, context: CommandContext, key: string): Promise<ClaimOutcome | undefined> {
    const head = await this.#log.head();
    if (!(await this.#projector.reaches(head, CATCH_UP_MS))) return { done: false, behind: this.#behind(head) };
    const claim = claimKey({ actor: context.actor, idempotency: { key, hash } });
    const rows = await jobsClaimedUnder(this.#db, claim?.key ?? '');
    if (rows.length === 0) return undefined;
    if (rows.some((row) => row.claim_hash !== hash)) {
      return {
        done: false,
        problem: {
          code: 'IDEMPOTENCY_MISMATCH',
          message: `The idempotency key '${key}' was used before with another input. Use a new key for a new claim.`,
          key,
        },
      };
    }
    const jobs: ClaimedJob[] = [];
    for (const { id } of rows) {
      const { state, revision, position } = await this.#commands.currentJob(id);
      if (state.status !== 'ABSENT') jobs.push({ job: state, revision, position });
    }
    return { done: true, jobs, position: lastOf(jobs) ?? this.#projector.position };
  }

  #behind(head: bigint): string {
    const token = (position: bigint) => `${this.#log.logId}:${position}`;
    return `The read models have not reached ${token(head)}; they are at ${token(this.#projector.position)}. Try again with the same key.`;
  }

  /** Chooses and reserves the best candidates that no other claim has reserved. */
  async #choose({ kinds }: ClaimRequest, wanted: number, tried: Set<string>): Promise<string[]> {
    const reached = this.#projector.position;
    for (const [id, until] of this.#reserved) {
      if (until !== undefined && until <= reached) this.#reserved.delete(id);
    }
    const next = await nextJobs(this.#db, kinds, wanted + this.#reserved.size + tried.size);
    const chosen = next.filter((id) => !this.#reserved.has(id) && !tried.has(id)).slice(0, wanted);
    for (const id of chosen) {
      this.#reserved.set(id, undefined);
      tried.add(id);
    }
    return chosen;
  }
}

function lastOf(jobs: readonly ClaimedJob[]): bigint | undefined {
  return jobs.reduce<bigint | undefined>(
    (last, { position }) => (last === undefined || position > last ? position : last),
    undefined,
  );
}

function check({ worker, kinds, limit, leaseSeconds }: ClaimRequest): Problem | undefined {
  const checks = new Checks()
    .text('worker', worker, 1, LIMITS.workerLength)
    .integer('limit', limit, 1, MAX_CLAIM)
    .integer('leaseSeconds', leaseSeconds, 1, LIMITS.leaseSeconds);
  kinds?.forEach((kind, i) => checks.text(`kinds.${i}`, kind, 1, LIMITS.kindLength));
  if (kinds !== undefined && (kinds.length === 0 || kinds.length > MAX_CLAIM)) {
    return invalidInput([{ path: 'kinds', message: `must name 1–${MAX_CLAIM} kinds, or be left out for any` }]);
  }
  return checks.problem();
}
