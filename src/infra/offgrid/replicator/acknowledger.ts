import {
  quorumUnder,
  type Acknowledgement,
  type Reached,
  type ReplicasAcknowledged,
} from '../../../domain/replication.js';
import type { SignedHead } from '../wire/head.js';
import type { Logger } from '../../logger.js';
import { Nudge } from '../../nudge.js';
import type { Journal, Known, Time } from './ports.js';

/** Acknowledgements are recorded at most this often, in milliseconds, unless somebody waits for one. */
const INTERVAL_MS = 250;
/** How long a failed recording is left, in milliseconds. */
const RETRY_MS = 1_000;

/** What an acknowledgement came to. */
export interface Acknowledged {
  /** The quorum sequence before. */
  readonly before: number;
  readonly quorum: number;
  /** The weight that the policy in force requires. */
  readonly required: number;
  /** How far each host has got. */
  readonly reached: Reached;
}

/** What is recorded, and by whom. */
export interface AcknowledgerGround {
  readonly origin: string;
  readonly journal: Journal;
  readonly time: Time;
  readonly logger: Logger;
  readonly known: () => Known;
  readonly epoch: () => number;
  readonly onAcknowledged: (acknowledged: Acknowledged) => void;
}

/** Gathers what hosts sign for into ReplicasAcknowledged, each with the quorum sequence that results. */
export class Acknowledger {
  readonly #ground: AcknowledgerGround;
  readonly #fresh = new Map<string, Acknowledgement>();
  readonly #arrived = new Nudge();
  readonly #urgent = new Nudge();
  #urgency = 0;

  constructor(ground: AcknowledgerGround) {
    this.#ground = ground;
  }

  /** A host has signed for everything up to the head's sequence. */
  reached(host: string, { sequence }: SignedHead): void {
    const before = this.#fresh.get(host)?.sequence ?? this.#ground.known().hosts.get(host)?.sequence ?? 0;
    if (sequence <= before) return;
    this.#fresh.set(host, { host, sequence, head: null });
    this.#arrived.notify();
  }

  /** What a host has signed for no longer counts. */
  forget(host: string): void {
    this.#fresh.delete(host);
  }

  /** Somebody waits for a quorum, until they call what is returned. */
  hurry(): () => void {
    this.#urgency += 1;
    this.#urgent.notify();
    return () => {
      this.#urgency -= 1;
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { time, logger } = this.#ground;
    while (!signal.aborted) {
      if (this.#fresh.size === 0) await this.#arrived.wait(signal);
      if (signal.aborted) return;
      try {
        await this.#record();
      } catch (error) {
        logger.error({ err: error }, 'acknowledgements cannot be recorded; trying again');
        await time.sleep(RETRY_MS, signal);
      }
      if (this.#urgency > 0) continue;
      const waiting = new AbortController();
      const both = AbortSignal.any([signal, waiting.signal]);
      await Promise.race([time.sleep(INTERVAL_MS, both), this.#urgent.wait(both)]);
      waiting.abort();
    }
  }

  async #record(): Promise<void> {
    const { origin, journal, known, epoch, onAcknowledged } = this.#ground;
    const { policies, hosts, quorum: before } = known();
    for (const host of this.#fresh.keys()) if (hosts.get(host)?.state === 'SUSPENDED') this.forget(host);
    const fresh = [...this.#fresh.values()];
    if (fresh.length === 0) return;
    const reached = new Map([...hosts].map(([host, { sequence }]) => [host, sequence]));
    for (const { host, sequence } of fresh) reached.set(host, Math.max(sequence, reached.get(host) ?? 0));
    const quorum = quorumUnder(policies, reached);
    if (quorum === undefined) return;
    const fact: ReplicasAcknowledged = {
      type: 'ReplicasAcknowledged',
      data: {
        origin,
        policyVersion: quorum.policyVersion,
        writerEpoch: epoch(),
        line: 1,
        hosts: fresh,
        quorumSequence: quorum.sequence,
        quorumEpoch: 0,
      },
    };
    await journal.record([fact]);
    const required = policies.find(({ policy }) => policy.version === quorum.policyVersion)?.policy.required ?? 1;
    onAcknowledged({ before, quorum: quorum.sequence, required, reached });
    for (const acknowledgement of fresh) {
      if (this.#fresh.get(acknowledgement.host) === acknowledgement) this.#fresh.delete(acknowledgement.host);
    }
  }
}
