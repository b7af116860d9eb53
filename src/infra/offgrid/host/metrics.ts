import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** What a host tells Prometheus. */
export class HostMetrics {
  readonly registry = new Registry();
  readonly #requests: Counter<'outcome'>;

  constructor(store: SqliteReplicaStore, budgetBytes: number) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Counter({
      name: 'offgrid_host_requests_total',
      help: 'Requests by outcome: OK or the code of the refusal.',
      labelNames: ['outcome'],
      registers,
    });
    new Gauge({
      name: 'offgrid_host_used_bytes',
      help: 'Bytes of contents kept, evidence included.',
      registers,
      collect() {
        this.set(store.usedBytes);
      },
    });
    new Gauge({ name: 'offgrid_host_budget_bytes', help: 'The most bytes kept.', registers }).set(budgetBytes);
    new Gauge({
      name: 'offgrid_host_sequence',
      help: 'The last event of each origin.',
      labelNames: ['origin'],
      registers,
      collect() {
        for (const [origin, { replica }] of store.origins) this.set({ origin }, replica.sequence);
      },
    });
  }

  answered(outcome: string): void {
    this.#requests.inc({ outcome });
  }
}
