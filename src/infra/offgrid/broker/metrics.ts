import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { measureRequests } from '../../http-kit/request-metrics.js';
import type { Clock } from '../../platform/clock.js';
import { stateAt } from './score.js';
import type { BrokerStore } from './store.js';
import { unixSeconds } from './time.js';

/** Serves Prometheus metrics at `/metrics`. */
export function serveBrokerMetrics(app: FastifyInstance, store: BrokerStore, clock: Clock): void {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  measureRequests(app, registry, 'sheratan_broker');
  const records = new Gauge({
    name: 'sheratan_broker_quorum_records',
    help: 'Number of quorum records kept, by whether they are final.',
    labelNames: ['finalized'],
    registers: [registry],
  });
  const hosts = new Gauge({
    name: 'sheratan_broker_hosts',
    help: 'Number of known hosts, by state.',
    labelNames: ['state'],
    registers: [registry],
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
