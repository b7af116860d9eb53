import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { fromBase64 } from '../../crypto/bytes.js';
import type { Clock } from '../../platform/clock.js';
import type { Identity } from './identity.js';
import { MAX_QUERY, type Memory } from './memory.js';
import { RefusalError } from './refusal-error.js';
import { bodyOf, jsonOf, parse } from './requests.js';

/** The maximum payload of `/memory/ingest`, in bytes. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** The maximum length of `meta`, in characters of JSON. */
const MAX_META_LENGTH = 16 * 1024;
/** The prices of a host, per MiB and month or per request, in the prototype's units: currently 0. */
export const PRICES = { storage_mb: 0, retrieval_mb: 0 } as const;

const querySchema = z.object({
  since_ts: z.coerce.number().min(-8.64e15).max(8.64e15).default(0),
  limit: z.coerce.number().int().min(1).max(MAX_QUERY).default(100),
});
const quoteSchema = z.object({
  type: z.enum(['storage_mb', 'retrieval_mb']).default('storage_mb'),
  size: z.coerce.number().min(0).max(1e12).default(0),
});
const ingestSchema = z.object({
  payload_b64: z.base64('must be base64').min(1, 'must not be empty'),
  etype: z.number().int().min(0).max(65_535),
  meta: z.record(z.string(), z.json()).default({}),
  score: z.number().default(0),
});

/** The dependencies of the prototype's paths. */
export interface MemoryRoutes {
  readonly name: string;
  readonly identity: Identity;
  readonly memory: Memory;
  readonly clock: Clock;
  /** The protocol version that the host's replicas use. */
  readonly protocol: number;
  /** Throws when the request is not authenticated. */
  readonly authenticate: (request: FastifyRequest) => void;
  /** Does the same when the host is not bound to loopback. */
  readonly open: (request: FastifyRequest) => void;
}

/** Serves the paths of the prototype's hosts, in the prototype's formats. */
export function serveMemory(app: FastifyInstance, routes: MemoryRoutes): void {
  const { name, identity, memory, clock, protocol, authenticate, open } = routes;
  const who = { node_id: identity.id, name };

  app.get('/status', (request) => {
    open(request);
    return { ok: true, ...who, ts: clock.now().getTime() };
  });

  app.get('/announce', () => ({ ...who, active: true, prices: PRICES, ts: clock.now().getTime() }));

  app.get('/pubkeys', () => ({
    ...who,
    ed25519_verify_key: identity.verifyKey,
    x25519_public_key: identity.exchangeKey,
    protocol,
  }));

  app.get('/quote', (request) => {
    const { type, size } = parse(quoteSchema, request.query);
    return { type, size, quote: PRICES[type] * size, host: identity.id };
  });

  app.get('/memory/query', async (request) => {
    open(request);
    const { since_ts: since, limit } = parse(querySchema, request.query);
    const events = await memory.query(since, limit);
    return { count: events.length, events };
  });

  app.get<{ Params: { readonly eid: string } }>('/memory/events/:eid', async (request) => {
    open(request);
    const { eid } = request.params;
    const event = /^[0-9a-f]{64}$/.test(eid) ? await memory.find(Buffer.from(eid, 'hex')) : undefined;
    if (event === undefined)
      throw new RefusalError({ code: 'NOT_FOUND', message: `There is no event '${eid.slice(0, 80)}' here.` });
    return event;
  });

  app.post('/memory/ingest', async (request) => {
    authenticate(request);
    const { payload_b64: payload, etype, meta, score } = parse(ingestSchema, jsonOf(bodyOf(request)));
    const bytes = fromBase64(payload);
    if (bytes.byteLength > MAX_PAYLOAD_BYTES || JSON.stringify(meta).length > MAX_META_LENGTH)
      throw new RefusalError({
        code: 'TOO_LARGE',
        message: `A payload must have at most ${MAX_PAYLOAD_BYTES} bytes, and its meta at most ${MAX_META_LENGTH} characters of JSON.`,
      });
    return { eid: await memory.ingest(bytes, { etype, meta, score, ts: clock.now().getTime() }) };
  });
}
