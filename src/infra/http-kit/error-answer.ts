import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

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

/** The body of every error response. */
export function errorBody(code: string, message: string): object {
  return { errors: [{ message, extensions: { code } }] };
}

/**
 * Answers every error, Fastify's own included, with the body of `errorBody`. An internal error is logged; the client sees 500.
 * @param answerTo what a client sees of an error; undefined for an internal error
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
    reply
      .code(404)
      .send(
        errorBody(
          'NOT_FOUND',
          `Nothing is served at ${request.method} ${request.url.slice(0, 200)}. Check the method and the path.`,
        ),
      ),
  );
}

/** Answers a request that Fastify refuses before it finds a route: its path cannot be decoded. */
export function refuseUrl(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(error.statusCode ?? 400).send(errorBody('BAD_REQUEST', error.message));
}

/** What a client sees of an internal error. */
export const INTERNAL_MESSAGE =
  'The request failed because of an internal error, which was logged. Inform the operator of this node.';

/** The static file server refuses folders and impossible paths with errors of its own. */
function isFileRefusal(error: unknown): boolean {
  if (!(error instanceof Error && 'statusCode' in error && 'expose' in error)) return false;
  return error.statusCode === 400 || error.statusCode === 403;
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'statusCode' in error && 'code' in error && typeof error.code === 'string';
}
