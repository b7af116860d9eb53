import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import type { ApiContext } from './context.js';
import { formatError } from './format-error.js';
import { limitRules, MAX_TOKENS } from './limits.js';

/** Makes the context of a request. @throws HttpError when it may not be served */
export type MakeContext = (request: FastifyRequest) => ApiContext;

/** Serves GraphQL over HTTP at `/graphql`. */
export async function serveGraphQL(
  app: FastifyInstance,
  schema: GraphQLSchema,
  introspection: boolean,
  makeContext: MakeContext,
): Promise<ApolloServer<ApiContext>> {
  const apollo = new ApolloServer<ApiContext>({
    schema,
    introspection,
    validationRules: limitRules(),
    parseOptions: { maxTokens: MAX_TOKENS },
    hideSchemaDetailsFromClientErrors: true,
    allowBatchedHttpRequests: false,
    csrfPrevention: true,
    includeStacktraceInErrorResponses: false,
    maxRecursiveSelections: true,
    stopOnTerminationSignals: false,
    formatError: (formatted, error) => {
      const code = formatted.extensions?.['code'];
      // Apollo has a code for what it refuses itself; the rest is told by us.
      if (typeof code === 'string' && code !== 'INTERNAL_SERVER_ERROR' && code !== 'UNAUTHORIZED')
        return { ...formatted, extensions: { code } };
      return formatError(app.log, error);
    },
    plugins: [fastifyApolloDrainPlugin(app) as ApolloServerPlugin<ApiContext>],
  });
  await apollo.start();
  app.route({
    url: '/graphql',
    method: ['GET', 'POST', 'OPTIONS'],
    handler: fastifyApolloHandler(apollo, { context: (request) => Promise.resolve(makeContext(request)) }),
  });
  return apollo;
}
