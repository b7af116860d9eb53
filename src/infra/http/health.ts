import type { FastifyInstance } from 'fastify';
import { LogError } from '../eventlog/errors.js';
import type { ProjectionFailureCode } from '../projector/status.js';
import type { CoreServices } from '../services/core-services.js';

/** The time that a projection may be behind the end of the log before this node is not ready, in milliseconds. */
const MAX_BEHIND_MS = 10_000;

/**
 * Serves `/livez`, which shows that the process answers, and `/readyz`, which shows that it can serve, or answers 503 with the
 * reasons. Neither requires a token, so the reasons are only codes and states; the details are in `projections { error }`, in
 * `replicationStatus` and in the server's log. Hosts that are unreachable or behind are not a reason: this is normal off the
 * grid, and a core that continues to serve loses nothing. `/readyz` notes that a core is not elected, but the core is ready.
 */
export function serveHealth(app: FastifyInstance, services: CoreServices, isStopping: () => boolean): void {
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const reasons = isStopping() ? ['node: STOPPING'] : await unreadiness(services);
    if (reasons.length === 0) return { status: 'ready', ...notesOn(services) };
    return reply.code(503).send({ status: 'not ready', reasons });
  });
}

/** What an operator should look at, although the node is ready. */
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
    // A projection that is not halted may also have an error, while it retries a write.
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
