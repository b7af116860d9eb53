import { GraphQLError } from 'graphql';

/** Codes of top-level errors, in `extensions.code`: what is exceptional, or a request that cannot be understood. */
export type ApiErrorCode =
  | 'BAD_USER_INPUT'
  | 'CURSOR_INVALID'
  | 'POSITION_UNKNOWN'
  | 'CONSISTENCY_TIMEOUT'
  | 'TOO_MANY_OPERATIONS'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN';

/** A top-level error with a stable code. */
export function apiError(code: ApiErrorCode, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
