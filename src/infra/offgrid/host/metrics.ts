import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Clock } from '../../platform/clock.js';
import type { Replicas } from './replicas.js';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** The sources of a host's metrics. */
export interface HostMetricsOptions {
  readonly store: SqliteReplicaStore;
  readonly replicas: Replicas;
  readonly budgetBytes: number;
  readonly clock: Clock;
}

/** The metrics of a host, for Prometheus. */
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
      help: 'Bytes that count against the budget: contents and 256 bytes for each event, evidence and staged events included.',
      registers,
      collect() {
        this.set(options.store.usedBytes);
      },
    });
    new Gauge({
      name: 'offgrid_host_budget_bytes',
      help: 'The maximum number of bytes that the host keeps.',
      registers,
    }).set(options.budgetBytes);
    const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ['origin'], registers });
    this.#byOrigin = {
      sequence: gauge('offgrid_host_sequence', 'Number of events of the head, by origin.'),
      staged: gauge(
        'offgrid_host_staged_events',
        'Number of events that are staged beside or beyond the head, by origin.',
      ),
      damaged: gauge(
        'offgrid_host_damaged_events',
        'Number of events of the head that are known to be damaged, by origin.',
      ),
      treeAge: gauge('offgrid_host_tree_age_seconds', 'Time since the core signed the tree of the head, by origin.'),
    };
  }

  /** Counts an answer. @param outcome OK or the code of the refusal */
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
      // The data of one origin may be damaged; requests for that origin report it.
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
