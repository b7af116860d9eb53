import type { FastifyInstance, FastifyReply } from 'fastify';
import type { z } from 'zod';
import { HttpError } from '../../http-kit/error-answer.js';
import type { Clock } from '../../platform/clock.js';
import {
  announcement,
  kept,
  MAX_META_BYTES,
  MAX_PRICES_BYTES,
  newAck,
  newQuorum,
  parseBody,
  readBody,
} from './bodies.js';
import { SignatureRefusal } from './errors.js';
import { policyView } from './policy.js';
import {
  pythonJson,
  rawJson,
  rawNumber,
  type PythonJson,
  type PythonObject,
  type ReceivedObject,
} from './python-json.js';
import { policyFor, type QuorumPolicies } from './quorum.js';
import { HEARTBEAT_S, scoreAt, stateAt } from './score.js';
import type { SignatureVerifier } from './signature.js';
import { STORE_LIMITS, type BrokerStore, type HostEntry, type QuorumRecord } from './store.js';
import { unixSeconds } from './time.js';

/** The service name in `/status`. */
const SERVICE = 'offgrid-broker';

/** The dependencies of the routes. */
export interface RouteOptions {
  readonly store: BrokerStore;
  readonly policies: QuorumPolicies;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  readonly version: string;
}

interface ByKind {
  readonly Querystring: { readonly kind?: string | readonly string[] };
}

interface ById {
  readonly Params: { readonly kind: string; readonly id: string };
}

/** Serves the protocol of the Offgrid broker, and also `/announce` and `/hosts`. The bodies of POST requests must be signed. */
export function serveBroker(app: FastifyInstance, { store, policies, verifier, clock, version }: RouteOptions): void {
  const now = () => unixSeconds(clock.now());

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));

  app.get('/status', () => ({ status: 'ok', service: SERVICE, version }));

  app.get<ByKind>('/quorum/list', async ({ query }, reply) => {
    const records = await store.list(oneKind(query.kind));
    return answer(reply, records.map(recordView));
  });

  app.get<ById>('/quorum/status/:kind/:id', async ({ params: { kind, id } }, reply) => {
    const record = await store.record(kind, id);
    if (record === undefined) throw unknown(kind, id);
    return answer(reply, recordView(record));
  });

  app.get<ByKind>('/quorum/policy', ({ query }, reply) =>
    answer(reply, policyView(policyFor(policies, oneKind(query.kind)))),
  );

  app.post('/quorum/create', async ({ body }, reply) => {
    const { meta, ...record } = signed(newQuorum, body);
    const made = await store.create({ ...record, meta: kept('meta', meta, MAX_META_BYTES) }, now());
    return answer(reply, recordView(made));
  });

  app.post('/quorum/ack', async ({ body }, reply) => {
    const { id, kind, node_id: node } = signed(newAck, body);
    const outcome = await store.ack(kind, id, node, policies, now());
    if (!outcome.counted) throw outcome.why === 'UNKNOWN' ? unknown(kind, id) : tooManyAcks(kind, id);
    const { finalized, sum, required } = outcome;
    return answer(reply, { ok: true, finalized, sum_w: rawNumber(sum), required: rawNumber(required) });
  });

  app.post('/announce', async ({ body }, reply) => {
    const { node_id: nodeId, url, prices, free_bytes: freeBytes } = signed(announcement, body);
    const host = { nodeId, url, prices: kept('prices', prices, MAX_PRICES_BYTES), freeBytes };
    if (!(await store.announce(host, now()))) throw tooManyHosts();
    return answer(reply, { ok: true, heartbeat_s: HEARTBEAT_S });
  });

  app.get('/hosts', async (_request, reply) => {
    const hosts = await store.hosts();
    return answer(
      reply,
      hosts.map((host) => hostView(host, now())),
    );
  });

  /** Verifies and validates a signed body. @throws HttpError */
  function signed<V>(schema: z.ZodType<V>, body: unknown): V {
    const received: ReceivedObject = readBody(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    const problem = verifier.verify(received);
    if (problem !== undefined) throw new SignatureRefusal(problem);
    return parseBody(schema, received);
  }
}

function answer(reply: FastifyReply, value: PythonJson): FastifyReply {
  return reply.type('application/json').send(pythonJson(value));
}

function recordView({ id, kind, required, acks, finalized, meta, ts }: QuorumRecord): PythonObject {
  return {
    id,
    kind,
    required: rawNumber(required),
    acks: acks.map((ack) => ({ id: ack.id, ts: ack.ts, w: rawNumber(ack.w) })),
    finalized,
    meta: rawJson(meta),
    ts,
  };
}

function hostView(host: HostEntry, now: number): PythonObject {
  return {
    node_id: host.nodeId,
    url: host.url,
    state: stateAt(host, now),
    score: rawNumber(scoreAt(host, now)),
    last_seen: host.lastSeen,
    free_bytes: host.freeBytes,
    prices: rawJson(host.prices),
  };
}

/** The value of `?kind=`, which may be given once; an empty value counts as none. @throws HttpError 400 */
function oneKind(kind: string | readonly string[] | undefined): string | undefined {
  if (kind === undefined || typeof kind === 'string') return kind === '' ? undefined : kind;
  throw new HttpError(400, 'INVALID_INPUT', '`kind` is given more than once. Give it at most once.');
}

function unknown(kind: string, id: string): HttpError {
  return new HttpError(
    404,
    'NOT_FOUND',
    `The quorum record '${id}' of kind '${kind}' does not exist. Create it first.`,
  );
}

function tooManyAcks(kind: string, id: string): HttpError {
  const message = `The quorum record '${id}' of kind '${kind}' has ${STORE_LIMITS.acks} acks, the maximum.`;
  return new HttpError(409, 'TOO_MANY_ACKS', message);
}

function tooManyHosts(): HttpError {
  const message = `This broker knows ${STORE_LIMITS.hosts} hosts, the maximum, and none of them is lost. Use another broker.`;
  return new HttpError(507, 'TOO_MANY_HOSTS', message);
}
