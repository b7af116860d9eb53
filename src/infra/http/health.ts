import type { FastifyInstance } from 'fastify';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Projector } from '../projector/projector.js';

/** How far a live projection may be behind before this node is not ready, in positions. */
const MAX_BEHIND = 10_000;

/** `/livez`: the process answers. `/readyz`: it can serve, or 503 with why not. */
export function serveHealth(
  app: FastifyInstance,
  log: EventLog,
  projectors: ReadonlyMap<string, Projector>,
  isStopping: () => boolean,
): void {
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const reasons = isStopping() ? ['the node is stopping'] : await unreadiness(log, projectors);
    if (reasons.length === 0) return { status: 'ready' };
    return reply.code(503).send({ status: 'not ready', reasons });
  });
}

async function unreadiness(log: EventLog, projectors: ReadonlyMap<string, Projector>): Promise<string[]> {
  try {
    await log.head();
  } catch (error) {
    return [`the log cannot be read: ${error instanceof Error ? error.message : String(error)}`];
  }
  const reasons: string[] = [];
  for (const projector of projectors.values()) {
    const { name, error, state, position, head } = await projector.status();
    const behind = head - projector.position;
    if (error !== null) reasons.push(`projection ${name} is HALTED at position ${error.position}: ${error.message}`);
    else if (behind > BigInt(MAX_BEHIND)) {
      reasons.push(`projection ${name} is ${behind} positions behind (${state}, ${position} of ${head})`);
    }
  }
  return reasons;
}
