import { GraphQLError } from 'graphql';

/** Codes of top-level errors that only GraphQL has. Errors that REST has too are RequestErrors. */
export type ApiErrorCode = 'TOO_MANY_OPERATIONS' | 'UNAUTHENTICATED' | 'FORBIDDEN';

/** A top-level error with a stable code. */
export function apiError(code: ApiErrorCode, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
