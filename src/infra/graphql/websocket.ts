import { ApolloServerErrorCode as Code } from '@apollo/server/errors';
import {
  createSourceEventStream,
  execute,
  getOperationAST,
  GraphQLError,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { LRUCache } from 'lru-cache';
import type { WebSocketServer } from 'ws';
import type { Caller } from '../access/auth.js';
import type { RefusalLog } from '../http-kit/refusal-log.js';
import type { Logger } from '../platform/logger.js';
import { formatError } from './format-error.js';
import type { ApiContext } from './kit/context.js';
import { apiError } from './kit/errors.js';
import { limitRules, MAX_TOKENS } from './kit/limits.js';
import { SharedExecution } from './shared-execution.js';

/** How long a connected client may take to send `connection_init`, in milliseconds. */
const INIT_TIMEOUT_MS = 5_000;
/**
 * The interval of pings, in milliseconds. A client that does not answer within this time is disconnected; it is longer than a
 * client may pause reading.
 */
const KEEP_ALIVE_MS = 90_000;
/** The maximum number of open operations of one connection. */
const MAX_OPERATIONS = 100;
/** The maximum number of parsed and validated documents in the cache. */
const MAX_DOCUMENTS = 500;
/** The maximum number of characters of all documents in the cache. */
const MAX_DOCUMENT_CHARACTERS = 4 * 1024 * 1024;

interface Connection {
  /** Set once the client has authenticated itself. */
  caller?: Caller;
}

/** What GraphQL over WebSocket depends on. */
export interface WebSocketOptions {
  readonly server: WebSocketServer;
  readonly schema: GraphQLSchema;
  readonly logger: Logger;
  readonly refusals: RefusalLog;
  readonly introspection: boolean;
  /** The caller that the token in `connectionParams.authorization`, or in the upgrade request, belongs to. */
  readonly callerOf: (authorization: string | undefined) => Caller | undefined;
  readonly makeContext: (caller: Caller) => ApiContext;
}

/** Serves GraphQL over WebSocket (the graphql-transport-ws protocol). `dispose` closes every connection with the code 1001. */
export function serveWebSocket(options: WebSocketOptions): { dispose: () => Promise<void> | void } {
  const { server, schema, logger, refusals, introspection, callerOf, makeContext } = options;
  const rules = [...specifiedRules, ...limitRules(), ...(introspection ? [] : [NoSchemaIntrospectionCustomRule])];
  const documents = new LRUCache<string, DocumentNode>({
    max: MAX_DOCUMENTS,
    maxSize: MAX_DOCUMENT_CHARACTERS,
    sizeCalculation: (_document, query) => query.length + 1,
  });
  const shared = new SharedExecution();

  const document = (query: string): DocumentNode | readonly GraphQLError[] => {
    const known = documents.get(query);
    if (known !== undefined) return known;
    let parsed: DocumentNode;
    try {
      parsed = parse(query, { maxLexicalTokens: MAX_TOKENS });
    } catch (error) {
      return [withCode(error, Code.GRAPHQL_PARSE_FAILED)];
    }
    const errors = validate(schema, parsed, rules, { hideSuggestions: true });
    if (errors.length > 0) return errors.map((error) => withCode(error, Code.GRAPHQL_VALIDATION_FAILED));
    documents.set(query, parsed);
    return parsed;
  };

  const formatted = (result: ExecutionResult): ExecutionResult =>
    result.errors === undefined
      ? result
      : { ...result, errors: result.errors.map((error) => asError(formatError(refusals, error))) };

  const served = useServer(
    {
      connectionInitWaitTimeout: INIT_TIMEOUT_MS,
      onConnect: ({ connectionParams, extra }) => {
        const given = connectionParams?.['authorization'] ?? connectionParams?.['Authorization'];
        const caller = callerOf(typeof given === 'string' ? given : extra.request.headers.authorization);
        if (caller === undefined) return false;
        (extra as Connection).caller = caller;
        return true;
      },
      onSubscribe: (context, _id, { query, operationName, variables }: SubscribePayload) => {
        const { caller } = context.extra as Connection;
        // The protocol refuses operations before `connection_init`.
        if (caller === undefined)
          return [apiError('UNAUTHENTICATED', 'This connection is not authenticated. Send connection_init first.')];
        if (Object.keys(context.subscriptions).length > MAX_OPERATIONS) {
          const message = `A connection may have at most ${MAX_OPERATIONS} open operations. Complete some before you start another.`;
          return [apiError('TOO_MANY_OPERATIONS', message)];
        }
        const parsed = document(query);
        if (!('kind' in parsed)) return [...parsed];
        if (!getOperationAST(parsed, operationName)) {
          const message =
            'The document has no operation with this name, or has several operations and no name was given.';
          return [withCode(new GraphQLError(message), Code.OPERATION_RESOLUTION_FAILURE)];
        }
        const contextValue = makeContext(caller);
        return { schema, document: parsed, operationName, variableValues: variables, contextValue };
      },
      execute: async (args) => formatted(await execute(args)),
      subscribe: async (args) => {
        const source = await createSourceEventStream(args);
        if (!(Symbol.asyncIterator in source)) return formatted(source);
        const { caller } = args.contextValue as ApiContext;
        const executeFor = async (event: object) => {
          // Loaders cache what they read; a later event must see later rows.
          const contextValue = makeContext(caller);
          return formatted(await execute({ ...args, rootValue: event, contextValue }));
        };
        const failed = (error: unknown) =>
          formatted({ errors: [new GraphQLError('', { originalError: asCause(error) })] });
        return shared.map(source as AsyncIterableIterator<object, undefined>, args, caller.role, executeFor, failed);
      },
      onError: (_context, _id, _payload, errors) => errors.map((error) => formatError(refusals, error)),
    },
    server,
    KEEP_ALIVE_MS,
  );
  server.on('connection', (socket) => {
    // A client that breaks the protocol, or sends too much, is disconnected with the code for that. The listener of graphql-ws
    // prints the first error; a second error of the same socket would then have no listener and would end the process.
    socket.removeAllListeners('error').on('error', (error) => logger.debug({ err: error }, 'WebSocket client failed'));
  });
  return served;
}

/** An error in a document, with the same code as over HTTP. */
function withCode(error: unknown, code: Code): GraphQLError {
  const { message, source, positions } = error instanceof GraphQLError ? error : new GraphQLError(String(error));
  return new GraphQLError(message, { source, positions, extensions: { code } });
}

function asCause(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function asError({ message, locations, path, extensions }: ReturnType<typeof formatError>): GraphQLError {
  const error = new GraphQLError(message, { extensions: extensions ?? {}, ...(path === undefined ? {} : { path }) });
  return locations === undefined ? error : Object.assign(error, { locations });
}
