import type { FastifyInstance } from 'fastify';
import { LogError } from '../eventlog/errors.js';
import type { ProjectionFailureCode } from '../projector/status.js';
import { atMost } from '../platform/at-most.js';
import type { CoreServices } from '../services/core-services.js';

/** The time that a projection may be behind the end of the log before this node is not ready, in milliseconds. */
const MAX_BEHIND_MS = 10_000;
/** How long an answer waits for the present state, in milliseconds; after that it shows the last one known. */
const ASK_MS = 200;
/** The time in which the log must answer for this node to be ready, in milliseconds. */
const SILENT_MS = 5_000;

/**
 * Serves `/livez`, which shows that the process answers, and `/readyz`, which shows that it can serve, or answers 503 with the
 * reasons. Neither requires a token, so the reasons are only codes and states; the details are in `projections { error }`, in
 * `replicationStatus` and in the server's log. Hosts that are unreachable or behind are not a reason: this is normal off the
 * grid, and a core that continues to serve loses nothing. `/readyz` notes that a core is not elected, but the core is ready.
 * Both answer within a quarter of a second, also while the log does not: probes do not wait longer.
 */
export function serveHealth(app: FastifyInstance, services: CoreServices, isStopping: () => boolean): void {
  const readiness = new Readiness(services);
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const reasons = isStopping() ? ['node: STOPPING'] : await readiness.reasons();
    if (reasons.length === 0) return { status: 'ready', ...notesOn(services) };
    return reply.code(503).send({ status: 'not ready', reasons });
  });
}

/** What an operator should look at, although the node is ready. */
function notesOn({ replication }: CoreServices): { readonly notes?: readonly string[] } {
  const isElected = replication?.replicator?.writer.isElected ?? true;
  return isElected ? {} : { notes: ['replication: not elected'] };
}

/** The reasons why a node is not ready, as they were last found. */
class Readiness {
  readonly #services: CoreServices;
  #known: readonly string[] = [SILENT];
  #asking: { readonly since: number; readonly done: Promise<void> } | undefined;

  constructor(services: CoreServices) {
    this.#services = services;
  }

  async reasons(): Promise<readonly string[]> {
    this.#asking ??= { since: performance.now(), done: this.#ask() };
    const { since, done } = this.#asking;
    await atMost(ASK_MS, done);
    const isSilent = this.#asking !== undefined && performance.now() - since > SILENT_MS;
    return isSilent ? [SILENT] : this.#known;
  }

  async #ask(): Promise<void> {
    try {
      this.#known = await unreadiness(this.#services);
    } finally {
      this.#asking = undefined;
    }
  }
}

/** The reason while the log does not answer. */
const SILENT = 'log: LOG_UNAVAILABLE';

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
