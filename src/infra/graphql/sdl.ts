import { lexicographicSortSchema, printSchema } from 'graphql';
import { makeSchema } from './schema.js';

const HEADER = `# The GraphQL API of Sheratan. Made by \`npm run schema\` from src/infra/graphql; a test fails when it drifts.\n\n`;

/** The schema in its definition language, sorted, as `schema/schema.graphql` holds it. */
export function emitSdl(): string {
  return `${HEADER}${printSchema(lexicographicSortSchema(makeSchema()))}\n`;
}
