import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HttpError, INTERNAL_MESSAGE } from '../../http-kit/error-answer.js';
import { SqliteError } from '../../sqlite/connection.js';
import { MAX_BODY_BYTES } from './bodies.js';
import type { SignatureProblem, SignedTime } from './signature.js';

/** An error answer: a status, and the code and message of the body. */
type Answer = Pick<HttpError, 'status' | 'code' | 'message'>;

/** A body is refused because of its signature, timestamp or nonce. */
export class SignatureRefusal extends HttpError {
  readonly clock: SignedTime | undefined;

  constructor({ status, code, message, clock }: SignatureProblem) {
    super(status, code, message);
    this.clock = clock;
  }
}

/** The error when too many changes are waiting. */
export function busy(): HttpError {
  return new HttpError(503, 'BUSY', 'Too many changes are waiting already. Try again.');
}

const INTERNAL: Answer = { status: 500, code: 'INTERNAL', message: INTERNAL_MESSAGE };
const TOO_LARGE = `The body is larger than ${MAX_BODY_BYTES} bytes. Send a smaller one.`;
const DISK_FULL: Answer = {
  status: 507,
  code: 'DISK_FULL',
  message: 'The disk of this broker is full; nothing was written. Free space and try again.',
};

function answerTo(error: unknown): Answer {
  if (error instanceof HttpError) return error;
  if (error instanceof SqliteError) return error.code === 'SQLITE_FULL' ? DISK_FULL : INTERNAL;
  if (!isFastifyError(error)) return INTERNAL;
  const { statusCode: status = 500, message } = error;
  if (status >= 500) return INTERNAL;
  return status === 413 ? { status, code: 'TOO_LARGE', message: TOO_LARGE } : { status, code: 'BAD_REQUEST', message };
}

/**
 * Answers every error with the body `{ error: { code, message } }`; an error of the clock also contains the broker's time.
 * The broker's own failures are logged.
 */
export function handleBrokerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => {
    const { status, code, message } = answerTo(error);
    if (status >= 500) request.log.error({ err: error }, 'request failed');
    if (status === 503) void reply.header('retry-after', '1');
    const clock = error instanceof SignatureRefusal ? error.clock : undefined;
    return reply.code(status).send({ ...errorBody(code, message), ...clock });
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .send(errorBody('NOT_FOUND', `This broker does not serve ${request.method} ${request.url.slice(0, 200)}.`)),
  );
}

/** Answers a request that Fastify refuses before routing: one whose path cannot be decoded. */
export function refuseBrokerUrl(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(error.statusCode ?? 400).send(errorBody('BAD_REQUEST', error.message));
}

function errorBody(code: string, message: string): object {
  return { error: { code, message } };
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'statusCode' in error && 'code' in error && typeof error.code === 'string';
}
