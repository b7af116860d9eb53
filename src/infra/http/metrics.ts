import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Services } from '../graphql/services.js';
import { replicationGauges } from './replication-metrics.js';

/** Serves Prometheus metrics at `/metrics`. */
export function serveMetrics(app: FastifyInstance, services: Services, webSockets: () => number): void {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'sheratan_http_requests_total',
    help: 'Requests answered, by route, method and status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'sheratan_http_request_duration_seconds',
    help: 'How long requests took, by route.',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  const position = new Gauge({
    name: 'sheratan_projection_position',
    help: 'The position a projection has reached.',
    labelNames: ['projection'],
    registers: [registry],
  });
  const behind = new Gauge({
    name: 'sheratan_projection_behind',
    help: 'How far a projection is from the end of the log, in positions.',
    labelNames: ['projection'],
    registers: [registry],
  });
  const state = new Gauge({
    name: 'sheratan_projection_state',
    help: '1 for the state a projection is in.',
    labelNames: ['projection', 'state'],
    registers: [registry],
  });
  const head = new Gauge({ name: 'sheratan_log_head', help: 'The position of the last event.', registers: [registry] });
  const sockets = new Gauge({
    name: 'sheratan_websockets',
    help: 'WebSocket clients connected.',
    registers: [registry],
  });
  const showReplication = replicationGauges(registry);

  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    requests.inc({ route, method: request.method, status: reply.statusCode });
    durations.observe({ route }, reply.elapsedTime / 1_000);
    done();
  });
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
