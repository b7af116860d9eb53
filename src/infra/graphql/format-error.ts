import { unwrapResolverError } from '@apollo/server/errors';
import { GraphQLError, type GraphQLFormattedError, Kind } from 'graphql';
import { INTERNAL_MESSAGE } from '../http-kit/error-answer.js';
import type { RefusalLog } from '../http-kit/refusal-log.js';
import { RequestError } from '../readmodels/request-error.js';
import { errorAnswer } from '../services/error-answer.js';

/** The message of graphql-js when it stops comparing the fields of a document with one another. */
const ABORTED = 'Validation aborted.';

/** The message for a refused document. The limits report a syntax error although there is none: that prefix is removed. */
export function plainMessage(message: string, code: string): string {
  if (code !== 'GRAPHQL_VALIDATION_FAILED') return message;
  if (message === ABORTED)
    return 'The document selects the same fields too often in one place and cannot be validated. Select each field once.';
  return message.replace(/^Syntax Error: /, '');
}

/** An error as clients see it: errors meant for them unchanged; for others, only that they were logged. */
export function formatError(refusals: RefusalLog, error: unknown): GraphQLFormattedError {
  const cause = unwrapResolverError(error);
  const place = error instanceof GraphQLError ? error.toJSON() : undefined;
  const where = {
    ...(place?.path === undefined ? {} : { path: place.path }),
    ...(place?.locations === undefined ? {} : { locations: place.locations }),
  };
  const known = errorAnswer(cause);
  if (known !== undefined) {
    if (known.status >= 500 && !(cause instanceof RequestError)) refusals.refused(known.code, cause);
    return { message: known.message, ...where, extensions: { code: known.code } };
  }
  if (cause instanceof GraphQLError) {
    const code = codeOf(cause);
    if (code !== 'INTERNAL_SERVER_ERROR')
      return { message: plainMessage(cause.message, code), ...where, extensions: { code } };
  }
  refusals.logger.error({ err: cause }, 'request failed');
  return { message: INTERNAL_MESSAGE, ...where, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
}

/** The code of an error. TypeGraphQL and graphql-js leave some errors without one of the API's codes. */
function codeOf(error: GraphQLError): string {
  const { code } = error.extensions;
  if (code === 'UNAUTHORIZED') return 'FORBIDDEN';
  if (typeof code === 'string') return code;
  // Variables of a wrong type: over HTTP Apollo sets this code, over WebSocket nothing does.
  if (error.nodes?.[0]?.kind === Kind.VARIABLE_DEFINITION) return 'BAD_USER_INPUT';
  return error.originalError === undefined ? 'GRAPHQL_VALIDATION_FAILED' : 'INTERNAL_SERVER_ERROR';
}
