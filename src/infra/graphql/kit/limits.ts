import { ApolloArmor } from '@escape.tech/graphql-armor';
import type { ValidationRule } from 'graphql';
import { MAX_PAGE } from '../../readmodels/page.js';
import { rowLimit } from './row-limit.js';

/** The maximum number of tokens of a document. The parser counts them. */
export const MAX_TOKENS = 2_000;
/** The maximum depth of a selection. */
const MAX_DEPTH = 10;
/** The maximum cost of a document: 2 per object, 1 per scalar, × 1.5 per level, × `first`. A full page of 100 is 10,000. */
const MAX_COST = 20_000;
/** The maximum number of rows that a document may request; pages within pages multiply. */
const MAX_ROWS = 20_000;
/** The maximum number of aliases in a document. */
const MAX_ALIASES = 30;
/** The maximum number of directives in a document. */
const MAX_DIRECTIVES = 50;

/** The validation rules that limit documents, over HTTP and WebSocket alike. */
export function limitRules(): ValidationRule[] {
  const armor = new ApolloArmor({
    maxTokens: { enabled: false },
    blockFieldSuggestion: { enabled: false },
    maxDepth: { n: MAX_DEPTH, ignoreIntrospection: true },
    costLimit: { maxCost: MAX_COST, ignoreIntrospection: true },
    maxAliases: { n: MAX_ALIASES },
    maxDirectives: { n: MAX_DIRECTIVES },
  });
  return [...armor.protect().validationRules, rowLimit(MAX_ROWS, MAX_PAGE)];
}
