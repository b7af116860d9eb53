import type { FastifyInstance } from 'fastify';
import { Counter, Histogram, type Registry } from 'prom-client';

/** Counts and times the requests that a server answers, as `<name>_requests_total` and `<name>_request_duration_seconds`. */
export function measureRequests(app: FastifyInstance, registry: Registry, name: string): void {
  const requests = new Counter({
    name: `${name}_requests_total`,
    help: 'The number of answered requests, by route, method and status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: `${name}_request_duration_seconds`,
    help: 'The duration of requests in seconds, by route.',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    requests.inc({ route, method: request.method, status: reply.statusCode });
    durations.observe({ route }, reply.elapsedTime / 1_000);
    done();
  });
}
