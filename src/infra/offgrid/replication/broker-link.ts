import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import { BrokerError, type BrokerClient } from '../broker/client.js';
import type { Acknowledged } from './acknowledger.js';

/** The kind of the records of a core's batches. */
const KIND = 'replica';
/** The most batches kept to be reported: the broker is advisory, so the oldest are dropped beyond that. */
const MAX_BATCHES = 256;
/** How long a broker that does not answer is left alone, in milliseconds. */
const PAUSE_MS = 10_000;
/** How often the hosts' scores are asked for, in milliseconds. */
const SCORES_MS = 30_000;

/** A batch to be reported to the broker. */
interface Batch {
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly required: number;
  isCreated: boolean;
  /** Hosts whose acknowledgements the broker has. */
  readonly acked: Set<string>;
}

/**
 * Reports to a broker which hosts have which batches, and asks it for the hosts' scores; best effort: nothing waits for
 * it.
 */
export class BrokerLink {
  readonly #client: BrokerClient;
  readonly #origin: string;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #batches: Batch[] = [];
  #reached: ReadonlyMap<string, number> = new Map();
  #scores: ReadonlyMap<string, number> = new Map();
  #wake: () => void = () => undefined;
  #isAway = false;

  constructor(client: BrokerClient, origin: string, logger: Logger) {
    this.#client = client;
    this.#origin = origin;
    this.#logger = logger;
    const { signal } = this.#stopping;
    void this.#tell(signal);
    void this.#ask(signal);
  }

  /** A host's score, 0–1; undefined when the broker has given none. */
  scoreOf(host: string): number | undefined {
    return this.#scores.get(host);
  }

  /** Queues an acknowledgement to be reported. */
  acknowledged({ before, quorum, required, reached }: Acknowledged): void {
    this.#reached = reached;
    if (quorum > before) {
      const [from, to] = [before + 1, quorum];
      const id = `${this.#origin}:${from}-${to}`;
      this.#batches.push({ id, from, to, required, isCreated: false, acked: new Set() });
      if (this.#batches.length > MAX_BATCHES) this.#batches.shift();
    }
    this.#wake();
  }

  /** Stops; does not wait for a request in progress. */
  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  async #tell(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      try {
        for (const batch of [...this.#batches]) {
          if (signal.aborted) return;
          await this.#report(batch);
        }
        await woken;
      } catch (error) {
        this.#failed(error);
        await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #report(batch: Batch): Promise<void> {
    const { id, from, to, required, acked } = batch;
    if (!batch.isCreated)
      await this.#client.create({ id, kind: KIND, required, meta: { origin: this.#origin, from, to } });
    batch.isCreated = true;
    this.#isAway = false;
    for (const [host, sequence] of this.#reached) {
      if (sequence < to || acked.has(host)) continue;
      await this.#client.ack({ id, kind: KIND, nodeId: host });
      acked.add(host);
    }
    // Hosts that are added later are not waited for.
    if (acked.size === this.#reached.size) this.#batches = this.#batches.filter((other) => other !== batch);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const hosts = (await this.#client.hosts()) ?? [];
        this.#isAway = false;
        this.#scores = new Map(hosts.map(({ nodeId, score }) => [nodeId, score]));
      } catch (error) {
        this.#failed(error);
      }
      await delay(SCORES_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #failed(error: unknown): void {
    if (this.#isAway || this.#stopping.signal.aborted) return;
    this.#isAway = true;
    if (error instanceof BrokerError) this.#logger.info(`the broker cannot be used now: ${error.message}`);
    else this.#logger.error({ err: error }, 'the exchange with the broker has failed');
  }
}
