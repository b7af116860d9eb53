import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Clock } from '../../platform/clock.js';
import type { Replicas } from './replicas.js';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** What the metrics of a host are taken from. */
export interface HostMetricsOptions {
  readonly store: SqliteReplicaStore;
  readonly replicas: Replicas;
  readonly budgetBytes: number;
  readonly clock: Clock;
}

/** What a host tells Prometheus. */
export class HostMetrics {
  readonly registry = new Registry();
  readonly #requests: Counter<'outcome'>;
  readonly #options: HostMetricsOptions;
  readonly #byOrigin: Readonly<Record<'sequence' | 'staged' | 'damaged' | 'treeAge', Gauge<'origin'>>>;

  constructor(options: HostMetricsOptions) {
    const registers = [this.registry];
    this.#options = options;
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Counter({
      name: 'offgrid_host_requests_total',
      help: 'Requests by outcome: OK or the code of the refusal.',
      labelNames: ['outcome'],
      registers,
    });
    new Gauge({
      name: 'offgrid_host_used_bytes',
      help: 'Bytes kept: contents and what is known of each event, of evidence and of what is staged too.',
      registers,
      collect() {
        this.set(options.store.usedBytes);
      },
    });
    new Gauge({ name: 'offgrid_host_budget_bytes', help: 'The most bytes kept.', registers }).set(options.budgetBytes);
    const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ['origin'], registers });
    this.#byOrigin = {
      sequence: gauge('offgrid_host_sequence', 'Events of the head, by origin.'),
      staged: gauge('offgrid_host_staged_events', 'Events that are staged beside or beyond the head, by origin.'),
      damaged: gauge('offgrid_host_damaged_events', 'Events of the head that are known to be damaged, by origin.'),
      treeAge: gauge('offgrid_host_tree_age_seconds', 'Time since the core signed the tree of the head, by origin.'),
    };
  }

  answered(outcome: string): void {
    this.#requests.inc({ outcome });
  }

  /** All metrics in Prometheus' text format. */
  async text(): Promise<string> {
    const { store, replicas, clock } = this.#options;
    for (const origin of store.origins) {
      const status = await replicas
        .of(origin)
        .status()
        .catch(() => undefined);
      // What is kept of one origin may be damaged; that is said to whoever asks for it.
      if (status === undefined) continue;
      const { sequence, staged, damaged, signedAt } = status;
      this.#byOrigin.sequence.set({ origin }, sequence);
      this.#byOrigin.staged.set({ origin }, staged);
      this.#byOrigin.damaged.set({ origin }, damaged);
      if (signedAt !== undefined)
        this.#byOrigin.treeAge.set({ origin }, Math.max(0, (clock.now().getTime() - signedAt) / 1_000));
    }
    return this.registry.metrics();
  }
}
