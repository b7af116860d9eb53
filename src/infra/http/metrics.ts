import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { measureRequests } from '../http-kit/request-metrics.js';
import type { CoreServices } from '../services/core-services.js';
import { replicationGauges } from './replication-metrics.js';

/** Serves Prometheus metrics at `/metrics`. */
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
    help: 'The distance of a projection from the end of the log, in positions.',
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
    help: 'The position of the last event of the log.',
    registers: [registry],
  });
  const sockets = new Gauge({
    name: 'sheratan_websockets',
    help: 'The number of connected WebSocket clients.',
    registers: [registry],
  });
  const showReplication = replicationGauges(registry);

  app.get('/metrics', async (_request, reply) => {
    state.reset();
    for (const projector of services.projectors.values()) {
      const status = await projector.status();
      const projection = status.name;
      position.set({ projection }, Number(status.position));
      behind.set({ projection }, Number(status.head - status.position));
      state.set({ projection, state: status.state }, 1);
      head.set(Number(status.head));
    }
    showReplication(await services.replicationStatus());
    sockets.set(webSockets());
    return reply.type(registry.contentType).send(await registry.metrics());
  });
}
