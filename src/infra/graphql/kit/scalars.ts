import { GraphQLScalarType, Kind } from 'graphql';
import { GraphQLDateTimeISO, GraphQLJSON } from 'graphql-scalars';
import type { Json } from '../../../domain/json.js';

/** Opaque text: a place in one log. It names the log, so that a position of another is refused, never misread. */
export const PositionScalar = new GraphQLScalarType<string, string>({
  name: 'Position',
  description:
    'Opaque text: a place in one log. Mutations, queries and subscriptions give them; `at:` and `after:` take them.',
  serialize: asText,
  parseValue: asText,
  parseLiteral: (node) => asText(node.kind === Kind.STRING ? node.value : undefined),
});

/** ISO 8601, UTC. */
export const DateTimeScalar = new GraphQLScalarType<Date | string, string>({
  ...GraphQLDateTimeISO.toConfig(),
  name: 'DateTime',
  description: 'A moment: ISO 8601, UTC, milliseconds.',
  // What is stored is in this form already.
  serialize: (value) => (value instanceof Date ? value.toISOString() : String(value)),
});

/** Any JSON value. */
export const JsonScalar = new GraphQLScalarType<Json, Json>({
  ...(GraphQLJSON.toConfig() as object),
  name: 'JSON',
  description: 'Any JSON value.',
});

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('A Position is text.');
  return value;
}
