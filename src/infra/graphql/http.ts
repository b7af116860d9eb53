import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { GraphQLError, OperationTypeNode, type GraphQLSchema } from 'graphql';
import type { RefusalLog } from '../http-kit/refusal-log.js';
import { formatError, plainMessage } from './format-error.js';
import type { ApiContext } from './kit/context.js';
import { limitRules, MAX_TOKENS } from './kit/limits.js';

/** Makes the context of a request. @throws HttpError 401 or 403 when the caller is unknown or not allowed */
export type MakeContext = (request: FastifyRequest) => ApiContext;

/** Codes of errors in the document or the variables of a request whose transport succeeded. */
const REQUEST_ERRORS: ReadonlySet<unknown> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
]);

/**
 * GraphQL over HTTP: to clients that accept only `application/json`, a status other than 200 means that HTTP failed. Clients
 * that accept `application/graphql-response+json` see request errors in the status as well.
 */
const statusForJson: ApolloServerPlugin<ApiContext> = {
  requestDidStart: () =>
    Promise.resolve({
      willSendResponse: ({ request, response, errors = [] }) => {
        const accepted = request.http?.headers.get('accept') ?? '';
        const isPlain = !accepted.includes('application/graphql-response+json');
        const isUnderstood = errors.every(({ extensions }) => REQUEST_ERRORS.has(extensions['code']));
        if (errors.length > 0 && isPlain && isUnderstood) response.http.status = 200;
        return Promise.resolve();
      },
    }),
};

/** Refuses subscriptions: an HTTP request has only one response. */
const noSubscriptions: ApolloServerPlugin<ApiContext> = {
  requestDidStart: () =>
    Promise.resolve({
      didResolveOperation: ({ operation }) => {
        if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return Promise.resolve();
        const message =
          'Subscriptions are served only over WebSocket. Connect to /graphql with the graphql-transport-ws protocol.';
        throw new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });
      },
    }),
};

/** Serves GraphQL over HTTP at `/graphql`. */
export async function serveGraphQL(
  app: FastifyInstance,
  schema: GraphQLSchema,
  introspection: boolean,
  refusals: RefusalLog,
  makeContext: MakeContext,
): Promise<ApolloServer<ApiContext>> {
  const apollo = new ApolloServer<ApiContext>({
    schema,
    introspection,
    validationRules: limitRules(),
    parseOptions: { maxLexicalTokens: MAX_TOKENS },
    hideSchemaDetailsFromClientErrors: true,
    allowBatchedHttpRequests: false,
    csrfPrevention: true,
    includeStacktraceInErrorResponses: false,
    maxRecursiveSelections: true,
    stopOnTerminationSignals: false,
    formatError: (formatted, error) => {
      const code = formatted.extensions?.['code'];
      // Apollo sets a code for what it refuses itself; other errors get their code from `formatError`.
      if (typeof code === 'string' && code !== 'INTERNAL_SERVER_ERROR' && code !== 'UNAUTHORIZED')
        return { ...formatted, message: plainMessage(formatted.message, code), extensions: { code } };
      return formatError(refusals, error);
    },
    plugins: [statusForJson, noSubscriptions, fastifyApolloDrainPlugin(app)],
  });
  await apollo.start();
  app.route({
    url: '/graphql',
    method: ['GET', 'POST', 'OPTIONS'],
    handler: fastifyApolloHandler(apollo, { context: (request) => Promise.resolve(makeContext(request)) }),
  });
  return apollo;
}
