import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type * as Altair from 'altair-static';
import type { FastifyInstance } from 'fastify';

const PATH = '/playground/';

const FIRST_QUERY = `# Welcome to Sheratan. Run one of these operations; "Docs" shows the complete schema.
subscription Live {
  missionChanged {
    position
    mission { title status updatedAt }
  }
}

query Missions {
  missions(first: 10) {
    totalCount
    edges { node { id title status jobCounts { pending completed } } }
  }
}

mutation CreateMission {
  createMission(input: { title: "Map the northern ridge" }) {
    ... on CreateMissionPayload {
      position
      durability
      mission { id title revision }
    }
    ... on Problem { code message }
  }
}
`;

/** The folder with the files of Altair. */
const FILES = join(dirname(createRequire(import.meta.url).resolve('altair-static')), 'dist');

/**
 * Serves the GraphQL playground (Altair) from local files: no request leaves the machine. `/` redirects to it. Altair is loaded
 * at the first request for it.
 */
export async function servePlayground(app: FastifyInstance): Promise<void> {
  app.get('/', (_request, reply) => reply.redirect(PATH));
  app.get('/playground', (_request, reply) => reply.redirect(PATH));
  await app.register(async (scope) => {
    let altair: typeof Altair | undefined;
    const loaded = async () => (altair ??= await import('altair-static'));
    scope.addHook('onRequest', async () => {
      await loaded();
    });
    await scope.register(fastifyStatic, {
      root: FILES,
      prefix: PATH,
      index: false,
      setHeaders: (reply, path) => {
        if (altair?.isSandboxFrame(path) === true) reply.setHeader('content-security-policy', altair.SANDBOX_FRAME_CSP);
      },
    });
    servePage(scope, loaded);
  });
}

function servePage(app: FastifyInstance, loaded: () => Promise<typeof Altair>): void {
  app.get(PATH, async (_request, reply) => {
    const { renderAltair } = await loaded();
    const nonce = randomBytes(16).toString('base64');
    const html = renderAltair({
      baseURL: PATH,
      endpointURL: '/graphql',
      subscriptionsEndpoint: '/graphql',
      initialQuery: FIRST_QUERY,
      initialName: 'Sheratan',
      initialSubscriptionRequestHandlerId: 'graphql-ws',
      initialSettings: { 'banners.disable': true, 'alert.disableUpdateNotification': true },
      disableAccount: true,
      instanceStorageNamespace: 'sheratan_',
      cspNonce: nonce,
    });
    return reply.type('text/html').header('content-security-policy', policy(nonce)).send(html);
  });
}

/** A policy that allows only this node, even for fonts. Altair compiles templates and therefore requires `unsafe-eval`. */
function policy(nonce: string): string {
  return [
    "default-src 'none'",
    `script-src 'self' 'nonce-${nonce}' 'unsafe-eval'`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' ws: wss:",
    "worker-src 'self' blob:",
    "frame-src 'self'",
    "manifest-src 'self'",
    "base-uri 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
