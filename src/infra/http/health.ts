import type { FastifyInstance } from 'fastify';
import { LogError } from '../eventlog/errors.js';
import type { ProjectionFailureCode } from '../projector/status.js';
import type { CoreServices } from '../services/core-services.js';

/** For how long a projection may be behind the end of the log before this node is not ready, in milliseconds. */
const MAX_BEHIND_MS = 10_000;

/**
 * `/livez`: the process answers. `/readyz`: it can serve, or 503 with why not. Neither asks for a token, so reasons are
 * codes and states; the details are in `projections { error }`, in `replicationStatus`, and in the log. That hosts are away,
 * or behind, is no reason: off the grid that is as it should be, and nothing is lost by serving on. A core that is not
 * elected is named there all the same.
 */
export function serveHealth(app: FastifyInstance, services: CoreServices, isStopping: () => boolean): void {
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const reasons = isStopping() ? ['node: STOPPING'] : await unreadiness(services);
    if (reasons.length === 0) return { status: 'ready', ...notesOn(services) };
    return reply.code(503).send({ status: 'not ready', reasons });
  });
}

/** What keeps nobody from being served, and is worth a look. */
function notesOn({ replication }: CoreServices): { readonly notes?: readonly string[] } {
  const isElected = replication?.replicator?.writer.isElected ?? true;
  return isElected ? {} : { notes: ['replication: not elected'] };
}

async function unreadiness({ log, projectors, replication }: CoreServices): Promise<string[]> {
  try {
    await log.head();
  } catch (error) {
    return [`log: ${error instanceof LogError ? error.code : 'LOG_FAILED'}`];
  }
  const reasons: string[] = [];
  for (const projector of projectors.values()) {
    const { name, error, state } = await projector.status();
    const behindMs = await projector.behindMs();
    // One that is not halted may have an error all the same: it goes on trying.
    if (error !== null)
      reasons.push(`${name}: ${state === 'HALTED' ? haltedBy(error.code) : `${state}, with an error`}`);
    else if (behindMs === Number.POSITIVE_INFINITY) reasons.push(`${name}: ${state}`);
    else if (behindMs > MAX_BEHIND_MS) reasons.push(`${name}: behind for ${Math.round(behindMs / 1_000)} s`);
  }
  const halted = replication?.halted?.code ?? replication?.refusal;
  if (halted !== undefined) reasons.push(`replication: ${halted}`);
  return reasons;
}

function haltedBy(code: ProjectionFailureCode): string {
  return code === 'NEWER_EVENT' ? `HALTED, ${code}` : 'HALTED';
}
