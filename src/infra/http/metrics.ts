import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { EventLog } from '../eventlog/eventlog.js';
import { measureRequests } from '../http-kit/request-metrics.js';
import { atMost } from '../platform/at-most.js';
import type { CoreServices } from '../services/core-services.js';
import { replicationGauges } from './replication-metrics.js';

/** How long an answer waits for the end of the log, in milliseconds; those who ask usually give up after 10 s. */
const ASK_MS = 2_000;

/** Serves Prometheus metrics at `/metrics`, also while the log does not answer. */
export function serveMetrics(app: FastifyInstance, services: CoreServices, webSockets: () => number): void {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  measureRequests(app, registry, 'sheratan_http');
  const position = new Gauge({
    name: 'sheratan_projection_position',
    help: 'The position that a projection has reached.',
    labelNames: ['projection'],
    registers: [registry],
  });
  const behind = new Gauge({
    name: 'sheratan_projection_behind',
    help: 'The distance of a projection from the end of the log, in positions; absent while the log does not answer.',
    labelNames: ['projection'],
    registers: [registry],
  });
  const state = new Gauge({
    name: 'sheratan_projection_state',
    help: '1 for the current state of a projection.',
    labelNames: ['projection', 'state'],
    registers: [registry],
  });
  const head = new Gauge({
    name: 'sheratan_log_head',
    help: 'The position of the last event of the log, when the log last answered.',
    registers: [registry],
  });
  const reached = new Gauge({
    name: 'sheratan_log_reached',
    help: '1 when the log answered, otherwise 0.',
    registers: [registry],
  });
  const sockets = new Gauge({
    name: 'sheratan_websockets',
    help: 'The number of connected WebSocket clients.',
    registers: [registry],
  });
  const showReplication = replicationGauges(registry);

  app.get('/metrics', async (_request, reply) => {
    const end = await endOf(services.log);
    reached.set(end === undefined ? 0 : 1);
    state.reset();
    behind.reset();
    for (const projector of services.projectors.values()) {
      const status = await projector.status(end ?? projector.position);
      const projection = status.name;
      position.set({ projection }, Number(status.position));
      state.set({ projection, state: status.state }, 1);
      if (end === undefined) continue;
      behind.set({ projection }, Number(status.head - status.position));
      head.set(Number(status.head));
    }
    showReplication(await services.replicationStatus());
    sockets.set(webSockets());
    return reply.type(registry.contentType).send(await registry.metrics());
  });
}

/** The end of a log, unless it does not answer in time. */
async function endOf(log: EventLog): Promise<bigint | undefined> {
  let end: bigint | undefined;
  const asked = log.head().then((head) => {
    end = head;
  });
  await atMost(ASK_MS, asked).catch(() => undefined);
  return end;
}
