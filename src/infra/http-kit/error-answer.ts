import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** What an error is to a client: a status and a body of GraphQL's shape, for every path alike. */
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
  413: 'The body is larger than 1 MiB. Send less at a time.',
  415: 'Bodies are JSON here: send `content-type: application/json`.',
};

/** What a client is told of an error of HTTP; undefined for one that is nobody's business but ours. */
export function httpAnswer(error: unknown): ErrorAnswer | undefined {
  if (error instanceof HttpError) return error;
  if (isFileRefusal(error)) return { status: 404, code: 'NOT_FOUND', message: 'There is no such file.' };
  if (!isFastifyError(error) || error.statusCode === undefined || error.statusCode >= 500) return undefined;
  const message = HTTP_MESSAGES[error.statusCode] ?? error.message;
  return { status: error.statusCode, code: HTTP_CODES[error.code] ?? 'BAD_REQUEST', message };
}

/** An answer other than success, thrown. */
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

/** The body every error has. */
export function errorBody(code: string, message: string): object {
  return { errors: [{ message, extensions: { code } }] };
}

/**
 * Gives Fastify's own errors, and ours, that body. What is not the client's business is logged and told as a number.
 * @param answerTo what a client is told of an error, if anything
 */
export function handleErrors(app: FastifyInstance, answerTo: (error: unknown) => ErrorAnswer | undefined): void {
  app.setErrorHandler((error, request, reply) => {
    const known = answerTo(error);
    if (known === undefined) {
      request.log.error({ err: error }, 'request failed');
      return reply.code(500).send(errorBody('INTERNAL_SERVER_ERROR', INTERNAL_MESSAGE));
    }
    if (known.status >= 500) request.log.error({ err: error }, 'request refused');
    if (known.status === 401) void reply.header('www-authenticate', 'Bearer');
    if (known.status === 503) void reply.header('retry-after', '1');
    return reply.code(known.status).send(errorBody(known.code, known.message));
  });
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send(errorBody('NOT_FOUND', `There is nothing at ${request.method} ${request.url.slice(0, 200)}.`)),
  );
}

/** Answers what Fastify refuses before there is a route: a path that cannot be decoded. */
export function refuseUrl(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(error.statusCode ?? 400).send(errorBody('BAD_REQUEST', error.message));
}

/** What a client is told of what is nobody's business but ours. */
export const INTERNAL_MESSAGE = 'Something went wrong here. It was logged; tell whoever runs this node.';

/** Static files refuse paths that no file has, and folders, with errors of their own. */
function isFileRefusal(error: unknown): boolean {
  if (!(error instanceof Error && 'statusCode' in error && 'expose' in error)) return false;
  return error.statusCode === 400 || error.statusCode === 403;
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'statusCode' in error && 'code' in error && typeof error.code === 'string';
}
