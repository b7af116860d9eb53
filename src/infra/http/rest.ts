import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Job } from '../../domain/job.js';
import { isJsonObject, type Json, type JsonObject } from '../../domain/json.js';
import type { Mission } from '../../domain/mission.js';
import { invalidInput, notFound, type Problem, type ProblemCode } from '../../domain/problem.js';
import type { Task } from '../../domain/task.js';
import type { Caller, Role } from '../access/auth.js';
import type { CommandContext } from '../commands/context.js';
import type { Outcome } from '../commands/handler.js';
import { present, type Present } from '../commands/handler.js';
import { HttpError } from '../http-kit/error-answer.js';
import type { ReplicationStatus } from '../offgrid/replication/status.js';
import type { MissionsDatabase } from '../readmodels/missions/database.js';
import { jobsById } from '../readmodels/missions/job-queries.js';
import { missionPage, missionsById } from '../readmodels/missions/mission-queries.js';
import { MAX_PAGE } from '../readmodels/page.js';
import type { CoreServices } from '../services/core-services.js';

/**
 * The options of the REST API: the paths of the system that this one replaces, on the same commands and read models as GraphQL.
 * The field names are those of that system, in snake_case. Bodies are read as JSON regardless of their content type, because
 * the clients of that system do not set it.
 */
export interface RestOptions {
  readonly services: CoreServices;
  /** Returns the caller. @throws HttpError 401 or 403 */
  readonly authorize: (request: FastifyRequest, needed: Role) => Caller;
}

const STATUS: Partial<Record<ProblemCode, number>> = { INVALID_INPUT: 400, NOT_FOUND: 404, IDEMPOTENCY_MISMATCH: 422 };

const jsonObject = z.custom<JsonObject>(isJsonObject, 'must be a JSON object');
const text = z.string('must be text');
const newMission = z.object({
  title: text,
  description: text.optional(),
  metadata: jsonObject.optional(),
  tags: z.array(text, 'must be a list of texts').optional(),
});
const newTask = z.object({
  name: text,
  description: text.optional(),
  kind: text.optional(),
  params: jsonObject.optional(),
});
const newJob = z.object({
  kind: text.optional(),
  payload: jsonObject.optional(),
  priority: z.number('must be a number').optional(),
  max_attempts: z.number('must be a number').optional(),
});
const PAGE_SIZE = `must be 1–${MAX_PAGE}`;
const listQuery = z.object({
  limit: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1, PAGE_SIZE)
    .max(MAX_PAGE, PAGE_SIZE)
    .default(MAX_PAGE),
  after: text.optional(),
});

interface ById {
  readonly Params: { readonly id: string };
}

/** Serves the REST API at `/api`. */
export async function serveRest(app: FastifyInstance, { services, authorize }: RestOptions): Promise<void> {
  const { commands, db } = services;

  const contextOf = (request: FastifyRequest, needed: Role): CommandContext => {
    const key = request.headers['idempotency-key'];
    const idempotencyKey = typeof key === 'string' ? key : undefined;
    return { actor: authorize(request, needed).actor, correlationId: request.id, idempotencyKey };
  };

  /** The created object as the command left it, because the read models may be behind. */
  const created = async <S extends { readonly status: string }>(
    outcome: Outcome<S>,
    reply: FastifyReply,
    view: (made: Present<S>) => object,
  ) => {
    if (!outcome.done) throw problemError(outcome.problem);
    const durability = await services.waitUntilDurable(outcome.position, 'PROJECTED');
    void reply.code(201).header('x-position', services.token(outcome.position)).header('x-durability', durability);
    return view(present(outcome.state));
  };

  await app.register(
    (api, _options, done) => {
      api.removeAllContentTypeParsers();
      api.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, parsed) => {
        try {
          parsed(null, body === '' ? undefined : JSON.parse(String(body)));
        } catch {
          parsed(new HttpError(400, 'BAD_REQUEST', 'The body is not JSON.'));
        }
      });

      api.post('/missions', async (request, reply) => {
        const context = contextOf(request, 'operator');
        const { title, description, metadata, tags } = parse(newMission, request.body);
        const optional = { ...(description && { description }), ...(metadata && { metadata }), ...(tags && { tags }) };
        const outcome = await commands.createMission({ title, ...optional }, context);
        return created(outcome, reply, newMissionView);
      });

      api.get('/missions', async (request) => {
        authorize(request, 'viewer');
        const { limit, after } = parse(listQuery, request.query);
        const page = await missionPage(services, null, { first: limit, after: after ?? null }, missionView);
        return {
          count: page.edges.length,
          missions: page.edges.map(({ node }) => node),
          next: page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null,
        };
      });

      api.get<ById>('/missions/:id', async (request) => {
        authorize(request, 'viewer');
        return found(await readMission(request.params.id), notFound('Mission', request.params.id));
      });

      api.post<ById>('/missions/:id/tasks', async (request, reply) => {
        const context = contextOf(request, 'worker');
        const { name, description, kind, params } = parse(newTask, request.body);
        const optional = { ...(description && { description }), ...(kind && { kind }), ...(params && { params }) };
        const outcome = await commands.createTask({ missionId: request.params.id, name, ...optional }, context);
        return created(outcome, reply, newTaskView);
      });

      api.post<ById>('/tasks/:id/jobs', async (request, reply) => {
        const context = contextOf(request, 'worker');
        const { max_attempts: maxAttempts, ...fields } = parse(newJob, request.body ?? {});
        const outcome = await commands.createJob({ taskId: request.params.id, maxAttempts, ...fields }, context);
        return created(outcome, reply, newJobView);
      });

      api.get<ById>('/jobs/:id', async (request) => {
        authorize(request, 'viewer');
        return found(await readJob(request.params.id), notFound('Job', request.params.id));
      });

      api.get('/status', async (request) => {
        authorize(request, 'viewer');
        const statuses = await Promise.all([...services.projectors.values()].map((projector) => projector.status()));
        const replication = await services.replicationStatus();
        // Unreachable hosts degrade replication, which continues, but not this node.
        const isWell = replication.stopped === null && replication.refusal === null;
        return {
          status: isWell && statuses.every(({ error }) => error === null) ? 'ok' : 'degraded',
          log: { id: services.log.logId, head: services.token(await services.log.head()) },
          projections: statuses.map(({ name, state, position, head }) => ({
            name,
            state,
            position: services.token(position),
            behind: Number(head - position),
          })),
          replication: replicationView(replication),
        };
      });

      done();
    },
    { prefix: '/api' },
  );

  async function readMission(id: string) {
    const [row] = await missionsById(db, [id]);
    return row && missionView(row);
  }

  async function readJob(id: string) {
    const [row] = await jobsById(db, [id]);
    return row && jobView(row);
  }
}

function missionView(row: MissionsDatabase['missions']) {
  const { id, title, description, metadata, tags, status, created_at, updated_at } = row;
  const json = { metadata: JSON.parse(metadata) as Json, tags: JSON.parse(tags) as string[] };
  return { id, title, description, ...json, status, created_at, updated_at };
}

function jobView(row: MissionsDatabase['jobs']) {
  const { id, task_id, mission_id, kind, payload, status, result, attempt, worker, created_at, updated_at } = row;
  const json = { payload: JSON.parse(payload) as Json, result: JSON.parse(result) as Json };
  return { id, task_id, mission_id, kind, ...json, status, attempt, worker, created_at, updated_at };
}

function replicationView(status: ReplicationStatus) {
  const { enabled, origin, degraded, pending, line, elected, stopped, refusal } = status;
  return {
    enabled,
    origin,
    line,
    elected,
    head: status.headSequence,
    quorum: status.quorumSequence,
    pending,
    lag_seconds: status.lagSeconds,
    required_acks: status.requiredAcks,
    degraded,
    stopped,
    refusal,
    hosts: status.hosts.map(({ id, url, state, sequence, behind, reached }) => ({
      id,
      url,
      state,
      sequence,
      behind,
      reached,
    })),
  };
}

function newMissionView({ missionId, title, description, metadata, tags, status, createdAt, updatedAt }: Mission) {
  const times = { created_at: createdAt, updated_at: updatedAt };
  return { id: missionId, title, description, metadata, tags, status, ...times };
}

function newTaskView({ taskId, missionId, name, description, kind, params, createdAt, updatedAt }: Task) {
  const times = { created_at: createdAt, updated_at: updatedAt };
  return { id: taskId, mission_id: missionId, name, description, kind, params, ...times };
}

function newJobView({ jobId, taskId, missionId, createdAt, updatedAt, ...job }: Job) {
  const { kind, payload, status, result, attempt, worker } = job;
  const ids = { id: jobId, task_id: taskId, mission_id: missionId };
  return { ...ids, kind, payload, status, result, attempt, worker, created_at: createdAt, updated_at: updatedAt };
}

function found<V>(value: V | undefined, problem: Problem): V {
  if (value === undefined) throw problemError(problem);
  return value;
}

function parse<V>(schema: z.ZodType<V>, value: unknown): V {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const fields = result.error.issues.map(({ path, message }) => ({ path: path.join('.') || 'body', message }));
  throw problemError(invalidInput(fields));
}

function problemError(problem: Problem): HttpError {
  return new HttpError(STATUS[problem.code] ?? 409, problem.code, problem.message);
}
