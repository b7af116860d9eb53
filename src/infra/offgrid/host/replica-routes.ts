import { encode } from '@ipld/dag-cbor';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { decodeCbor } from '../wire/cbor.js';
import { decodeBatch, MAX_BATCH_EVENTS } from '../wire/batch.js';
import { claimSchema, ORIGIN } from '../wire/claim.js';
import { HostRefusal } from './problems.js';
import type { Replica } from './replica.js';
import type { Replicas } from './replicas.js';
import { bodyOf, parse } from './requests.js';

/** The most bytes of envelopes in an answer, unless a single event has more. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** The most events in an answer. */
const MAX_ANSWER_EVENTS = 2 * MAX_BATCH_EVENTS;

const CBOR = 'application/cbor';

const count = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const eventsQuery = z.object({
  after: count.default(0),
  limit: count.pipe(z.number().min(1)).default(MAX_BATCH_EVENTS),
});
const headQuery = z.object({ challenge: z.string().min(1).max(128).optional(), at: count.optional() });

interface OfOrigin {
  readonly Params: { readonly origin: string };
}

/** The doors of cores. Every request is authenticated; what changes anything is also signed by the origin. */
export function serveReplicas(
  app: FastifyInstance,
  replicas: Replicas,
  authenticate: (request: FastifyRequest) => void,
): void {
  const on = <R>(origin: string, work: (replica: Replica) => Promise<R>): Promise<R> => {
    if (ORIGIN.test(origin)) return replicas.use(origin, work);
    throw new HostRefusal(
      'BAD_REQUEST',
      'The name of an origin is 1–64 letters, digits, dots, hyphens or underscores.',
    );
  };

  app.post<OfOrigin>('/replica/:origin/claim', async (request) => {
    authenticate(request);
    const claim = claimSchema.safeParse(decodeCbor(bodyOf(request)));
    if (!claim.success) throw new HostRefusal('BAD_REQUEST', 'The body is not a claim in DAG-CBOR.');
    return on(request.params.origin, (replica) => replica.claim(claim.data));
  });

  app.post<OfOrigin>('/replica/:origin/events', async (request) => {
    authenticate(request);
    const batch = decodeBatch(bodyOf(request));
    if (batch === undefined)
      throw new HostRefusal('BAD_REQUEST', `The body is not a batch of 1–${MAX_BATCH_EVENTS} events in DAG-CBOR.`);
    return on(request.params.origin, (replica) => replica.append(batch));
  });

  app.get<OfOrigin>('/replica/:origin/events', async (request, reply) => {
    authenticate(request);
    const { after, limit } = parse(eventsQuery, request.query);
    const most = Math.min(limit, MAX_ANSWER_EVENTS);
    const events = await on(request.params.origin, (replica) => replica.events(after, most, MAX_ANSWER_BYTES));
    const body = events.map(({ sequence, etype, ts, sealed }) => encode({ sequence, etype, ts, sealed }));
    return reply.type(CBOR).send(Buffer.concat(body));
  });

  app.get<OfOrigin>('/replica/:origin/head', async (request) => {
    authenticate(request);
    const { challenge, at } = parse(headQuery, request.query);
    return on(request.params.origin, async (replica) => {
      if (at !== undefined) return { sequence: at, root: await replica.rootAt(at) };
      return replica.head(challenge);
    });
  });
}
