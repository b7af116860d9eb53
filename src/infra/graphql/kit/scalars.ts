import { GraphQLScalarType, Kind } from 'graphql';
import { GraphQLDateTimeISO, GraphQLJSON } from 'graphql-scalars';
import type { Json } from '../../../domain/json.js';

/** An opaque position in one log. It contains the log's id, so that a position of another log is refused and never misread. */
export const PositionScalar = new GraphQLScalarType<string, string>({
  name: 'Position',
  description:
    'A Position is opaque text that identifies a place in one log. Mutations, queries and subscriptions return positions; `at:` and `after:` accept them.',
  serialize: asText,
  parseValue: asText,
  parseLiteral: (node) => asText(node.kind === Kind.STRING ? node.value : undefined),
});

/** The `at` of a query. */
export const AT_ARG = {
  nullable: true,
  description:
    'The query waits until the read model has reached this position; after 5 s it fails with CONSISTENCY_TIMEOUT. By default it does not wait.',
} as const;

/** The `after` of a subscription. */
export const AFTER_ARG = {
  nullable: true,
  description: 'The subscription begins after this position. By default it begins now.',
} as const;

/** A point in time: ISO 8601, UTC, milliseconds. */
export const DateTimeScalar = new GraphQLScalarType<Date | string, string>({
  ...GraphQLDateTimeISO.toConfig(),
  name: 'DateTime',
  description: 'A DateTime is a point in time as ISO 8601 text, in UTC, with milliseconds.',
  // Stored times already have this form.
  serialize: (value) => (value instanceof Date ? value.toISOString() : String(value)),
});

/** Any JSON value. */
export const JsonScalar = new GraphQLScalarType<Json, Json>({
  ...(GraphQLJSON.toConfig() as object),
  name: 'JSON',
  description: 'A JSON value is any value that JSON can express.',
});

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('A Position is text.');
  return value;
}
