import { ApolloArmor } from '@escape.tech/graphql-armor';
import type { ValidationRule } from 'graphql';
import { MAX_PAGE } from '../../readmodels/page.js';
import { rowLimit } from './row-limit.js';

/** The most tokens of a document; the parser counts them. */
export const MAX_TOKENS = 2_000;
/** The deepest a selection may go. */
const MAX_DEPTH = 10;
/** The most a document may cost: an object 2, a scalar 1, × 1.5 each level down, × `first`. A page of 100 of all is 10,000. */
const MAX_COST = 20_000;
/** The most rows a document may ask for, pages within pages multiplied. */
const MAX_ROWS = 20_000;
/** The most aliases of a document. */
const MAX_ALIASES = 30;
/** The most directives of a document. */
const MAX_DIRECTIVES = 50;

/** The validation rules that keep documents within bounds, over HTTP and WebSocket alike. */
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
