import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Clock } from '../../clock.js';
import { stateAt } from './score.js';
import type { BrokerStore } from './store.js';
import { unixSeconds } from './time.js';

/** Serves Prometheus metrics at `/metrics`. */
export function serveBrokerMetrics(app: FastifyInstance, store: BrokerStore, clock: Clock): void {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'sheratan_broker_requests_total',
    help: 'Requests answered, by route, method and status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'sheratan_broker_request_duration_seconds',
    help: 'How long requests took, by route.',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  });
  const records = new Gauge({
    name: 'sheratan_broker_quorum_records',
    help: 'Quorum records kept, by whether they are final.',
    labelNames: ['finalized'],
    registers: [registry],
  });
  const hosts = new Gauge({
    name: 'sheratan_broker_hosts',
    help: 'Hosts known, by state.',
    labelNames: ['state'],
    registers: [registry],
  });

  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    requests.inc({ route, method: request.method, status: reply.statusCode });
    durations.observe({ route }, reply.elapsedTime / 1_000);
    done();
  });
  app.get('/metrics', async (_request, reply) => {
    const now = unixSeconds(clock.now());
    const [counts, known] = await Promise.all([store.counts(), store.hosts()]);
    records.set({ finalized: 'true' }, counts.finalized);
    records.set({ finalized: 'false' }, counts.records - counts.finalized);
    const active = known.filter((host) => stateAt(host, now) === 'active').length;
    hosts.set({ state: 'active' }, active);
    hosts.set({ state: 'lost' }, known.length - active);
    return reply.type(registry.contentType).send(await registry.metrics());
  });
}
