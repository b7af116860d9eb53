import type { FastifyInstance, FastifyRequest } from 'fastify';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { encodeDamaged, encodeEntries, encodeRoots } from '../protocol/answers.js';
import { decodeBatch } from '../protocol/batch.js';
import { decodeClaimBody } from '../protocol/claim-body.js';
import { encodeStoredEvent } from '../protocol/events-answer.js';
import { MAX_BODY_BYTES, MAX_SHORT_BODY_BYTES, origin as originField } from '../protocol/fields.js';
import { decodeMend, encodeMendAnswer } from '../protocol/mend.js';
import { challengeOf, damagedQuery, entriesQuery, eventsQuery, rootsQuery } from '../protocol/queries.js';
import { encodeSigned } from '../protocol/signed.js';
import { readBody } from './body-reader.js';
import { RefusalError } from './refusal-error.js';
import type { Replica } from './replica.js';
import type { Replicas } from './replicas.js';

const CBOR = 'application/cbor';

interface OfOrigin {
  readonly Params: { readonly origin: string };
  readonly Querystring: Readonly<Record<string, unknown>>;
}

/** A body as received, and its SHA-256. */
interface Body {
  readonly bytes: Uint8Array;
  readonly hash: Uint8Array;
}

/** The handlers of GET and of POST paths; the body of a POST is read in the request's turn. */
type Reading = (replica: Replica, query: Readonly<Record<string, unknown>>) => Promise<Uint8Array>;
type Writing = (replica: Replica, body: Body) => Promise<Uint8Array>;

const READINGS: Readonly<Record<string, Reading>> = {
  head: async (replica, query) => encodeSigned(await replica.head(challengeOf(query))),
  roots: async (replica, query) => encodeRoots(await replica.roots(rootsQuery(query))),
  entries: async (replica, query) => encodeEntries(await replica.entries(entriesQuery(query))),
  events: async (replica, query) =>
    Buffer.concat((await replica.events(eventsQuery(query))).map((event) => encodeStoredEvent(event))),
  damaged: async (replica, query) => encodeDamaged({ sequences: await replica.damaged(damagedQuery(query)) }),
};

const WRITINGS: Readonly<Record<string, { readonly maxBytes: number; readonly write: Writing }>> = {
  claim: {
    maxBytes: MAX_SHORT_BODY_BYTES,
    write: async (replica, { bytes, hash }) => encodeSigned(await replica.claim(decodeClaimBody(bytes), hash)),
  },
  events: {
    maxBytes: MAX_BODY_BYTES,
    write: async (replica, { bytes, hash }) => encodeSigned(await replica.append(decodeBatch(bytes), hash)),
  },
  mend: {
    maxBytes: MAX_BODY_BYTES,
    write: async (replica, { bytes }) => encodeMendAnswer({ mended: await replica.mend(decodeMend(bytes).events) }),
  },
};

/**
 * Serves the paths for cores. Every request is authenticated before its body is read; a body is read in the request's turn.
 * @param bodyHashOf the SHA-256 of the body that the headers of a request state
 */
export function serveReplicas(
  app: FastifyInstance,
  replicas: Replicas,
  bodyHashOf: (request: FastifyRequest) => Uint8Array,
): void {
  for (const [name, read] of Object.entries(READINGS))
    app.get<OfOrigin>(`/replica/:origin/${name}`, async (request, reply) => {
      const origin = originField(request.params.origin, 'origin');
      if (!equalBytes(bodyHashOf(request), sha256())) throw otherBody();
      return reply.type(CBOR).send(await replicas.use(origin, (replica) => read(replica, request.query)));
    });
  for (const [name, { maxBytes, write }] of Object.entries(WRITINGS))
    app.post<OfOrigin>(`/replica/:origin/${name}`, async (request, reply) => {
      const origin = originField(request.params.origin, 'origin');
      const answer = await replicas.use(origin, async (replica) => {
        const bytes = await readBody(request.raw, maxBytes);
        const hash = sha256(bytes);
        if (!equalBytes(bodyHashOf(request), hash)) throw otherBody();
        return write(replica, { bytes, hash });
      });
      return reply.type(CBOR).send(answer);
    });
}

function otherBody(): RefusalError {
  return new RefusalError({
    code: 'UNAUTHENTICATED',
    message: 'The body differs from the one that the request is signed for.',
  });
}
