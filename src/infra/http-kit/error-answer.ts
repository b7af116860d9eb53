import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RefusalLog } from './refusal-log.js';

/** An error as a client sees it: a status, and a body in the shape of GraphQL errors on every path. */
export interface ErrorAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const HTTP_CODES: Readonly<Record<string, string>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'BAD_REQUEST',
  FST_ERR_CTP_INVALID_JSON_BODY: 'BAD_REQUEST',
};

const HTTP_MESSAGES: Readonly<Record<number, string>> = {
  413: 'The body is larger than 1 MiB. Send less data per request.',
  415: 'The content type of the body is not supported. Send JSON with `content-type: application/json`.',
};

/** What a client sees of an HTTP error; undefined for an internal error. */
export function httpAnswer(error: unknown): ErrorAnswer | undefined {
  if (error instanceof HttpError) return error;
  if (isFileRefusal(error)) return { status: 404, code: 'NOT_FOUND', message: 'No such file exists.' };
  if (!isFastifyError(error) || error.statusCode === undefined || error.statusCode >= 500) return undefined;
  const message = HTTP_MESSAGES[error.statusCode] ?? error.message;
  return { status: error.statusCode, code: HTTP_CODES[error.code] ?? 'BAD_REQUEST', message };
}

/** An error that is thrown to answer a request with a status and a code. */
export class HttpError extends Error implements ErrorAnswer {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The body of a core's errors, in the format of GraphQL. */
export const errorBody: ErrorBody = ({ code, message }) => ({ errors: [{ message, extensions: { code } }] });

/** The body of an error's answer. */
export type ErrorBody = (answer: Pick<ErrorAnswer, 'code' | 'message'>, error?: unknown) => object;

/** How a server answers errors. */
export interface ErrorFormat {
  /** What a client sees of an error; undefined for an internal error. */
  readonly answerTo: (error: unknown) => ErrorAnswer | undefined;
  readonly body: ErrorBody;
  /** The code of an internal error. */
  readonly internalCode: string;
  /** The `WWW-Authenticate` header of an answer with status 401. */
  readonly challenge?: string;
}

/** A format with the log of what is refused; by default the server's own. */
export interface ErrorHandling extends ErrorFormat {
  readonly refusals?: RefusalLog;
}

/** Answers every error, Fastify's own included, in one format. An internal error is logged; the client sees 500. */
export function handleErrors(app: FastifyInstance, handling: ErrorHandling): void {
  const { answerTo, body, internalCode, challenge, refusals = new RefusalLog(app.log) } = handling;
  app.setErrorHandler((error, request, reply) => {
    const known = answerTo(error);
    if (known === undefined) {
      request.log.error({ err: error }, 'request failed');
      return reply.code(500).send(body({ code: internalCode, message: INTERNAL_MESSAGE }, error));
    }
    if (known.status >= 500) refusals.refused(known.code, error);
    if (known.status === 401 && challenge !== undefined) void reply.header('www-authenticate', challenge);
    if (known.status === 503) void reply.header('retry-after', '1');
    return reply.code(known.status).send(body(known, error));
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `Nothing is served at ${request.method} ${request.url.slice(0, 200)}. Check the method and the path.`;
    return reply.code(404).send(body({ code: 'NOT_FOUND', message }));
  });
}

/** Answers a request that Fastify refuses before it finds a route: its path cannot be decoded. */
export function refuseUrl(
  body: ErrorBody,
): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, _request, reply) => {
    void reply.code(error.statusCode ?? 400).send(body({ code: 'BAD_REQUEST', message: error.message }));
  };
}

/** What a client sees of an internal error. */
export const INTERNAL_MESSAGE =
  'The request failed because of an internal error, which was logged. Inform the operator of this node.';

/** The static file server refuses folders and impossible paths with errors of its own. */
function isFileRefusal(error: unknown): boolean {
  if (!(error instanceof Error && 'statusCode' in error && 'expose' in error)) return false;
  return error.statusCode === 400 || error.statusCode === 403;
}

/** Whether an error is one of Fastify's, with a status and a code. */
export function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'statusCode' in error && 'code' in error && typeof error.code === 'string';
}
