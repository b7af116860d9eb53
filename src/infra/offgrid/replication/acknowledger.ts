import pLimit from 'p-limit';
import {
  quorumUnder,
  type Acknowledgement,
  type CountedHead,
  type Reached,
  type ReplicasAcknowledged,
} from '../../../domain/replication.js';
import type { Time } from '../../platform/clock.js';
import { firstOf } from '../../platform/linked-signal.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import { Nudge } from '../../platform/nudge.js';
import type { SignedThing } from '../protocol/signed.js';
import type { Tree } from '../protocol/tree.js';
import type { Journal } from './ports.js';
import type { ReplicationState } from './replication-state.js';
import { signedTextOf } from './signed-text.js';
import type { Writer } from './writer.js';

/** Acknowledgements are recorded at most this often, in milliseconds, unless a caller waits for one. */
const INTERVAL_MS = 250;
/** How long to wait after a failed recording, in milliseconds. */
const RETRY_MS = 1_000;

/** The result of an acknowledgement. */
export interface Acknowledged {
  /** The quorum sequence before. */
  readonly before: number;
  readonly quorum: number;
  /** The weight that the policy in force requires. */
  readonly required: number;
  /** How far each host has got. */
  readonly reached: Reached;
}

/** Dependencies of an acknowledger. */
export interface AcknowledgerDependencies {
  readonly origin: string;
  readonly journal: Journal;
  readonly writer: Writer;
  readonly state: () => ReplicationState;
  readonly time: Time;
  readonly logger: Logger;
  readonly onAcknowledged: (acknowledged: Acknowledged) => void;
}

/** Gathers the heads that count in the epoch into ReplicasAcknowledged, each with the quorum that results. */
export class Acknowledger {
  readonly #dependencies: AcknowledgerDependencies;
  /** How far each host has got in the epoch. */
  readonly #reached = new Map<string, { readonly sequence: number; readonly quorum: number }>();
  readonly #fresh = new Map<string, Acknowledgement>();
  readonly #arrived = new Nudge();
  readonly #urgent = new Nudge();
  /** One recording at a time. */
  readonly #inTurn = pLimit(1);
  #epoch = 0;
  #line = 0;
  #urgency = 0;

  constructor(dependencies: AcknowledgerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Called when a head of a host counts. */
  counted(host: string, signed: SignedThing<'head'>, { line, epoch, sequence, quorum }: Tree): void {
    if (epoch !== this.#epoch || line !== this.#line) {
      [this.#epoch, this.#line] = [epoch, line];
      this.#reached.clear();
      this.#fresh.clear();
    }
    const before = this.#reached.get(host);
    if (before?.sequence === sequence && quorum <= before.quorum) return;
    this.#reached.set(host, { sequence, quorum });
    const head: CountedHead = { line, epoch, quorum, signed: signedTextOf(signed) };
    this.#fresh.set(host, { host, sequence, head });
    this.#arrived.notify();
  }

  /** Forgets what a host has signed for: it no longer counts. */
  forget(host: string): void {
    this.#reached.delete(host);
    this.#fresh.delete(host);
  }

  /** A caller waits for a quorum, until it calls the returned function. */
  hurry(): () => void {
    this.#urgency += 1;
    this.#urgent.notify();
    return () => {
      this.#urgency -= 1;
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { time, logger } = this.#dependencies;
    const failures = new FailureLog(logger, 'acknowledgements cannot be recorded');
    while (!signal.aborted) {
      if (this.#fresh.size === 0) await this.#arrived.wait(signal);
      if (signal.aborted) break;
      try {
        await this.#inTurn(() => this.#record());
        failures.succeeded();
      } catch (error) {
        failures.failed(error);
        await time.sleep(RETRY_MS, signal);
      }
      if (this.#urgency > 0) continue;
      await firstOf(signal, (waiting) => [time.sleep(INTERVAL_MS, waiting), this.#urgent.wait(waiting)]);
    }
    await this.flush();
  }

  /** Records the heads that have arrived. */
  async flush(): Promise<void> {
    await this.#inTurn(() => this.#record()).catch((error: unknown) => {
      this.#dependencies.logger.error({ err: error }, 'the last acknowledgements cannot be recorded');
    });
  }

  async #record(): Promise<void> {
    const { origin, journal, writer, state, onAcknowledged } = this.#dependencies;
    const { policies, hosts, quorum: before, line } = state();
    for (const host of this.#reached.keys()) if (hosts.get(host)?.state === 'SUSPENDED') this.forget(host);
    const epoch = this.#epoch;
    const fresh = [...this.#fresh.values()];
    if (fresh.length === 0 || epoch !== writer.epoch || line !== this.#line) {
      this.#fresh.clear();
      return;
    }
    const reached: Reached = new Map([...this.#reached].map(([host, { sequence }]) => [host, sequence]));
    const quorum = quorumUnder(policies, reached);
    if (quorum === undefined) return;
    const fact: ReplicasAcknowledged = {
      type: 'ReplicasAcknowledged',
      data: {
        ...{ origin, policyVersion: quorum.policyVersion, writerEpoch: epoch, line, hosts: fresh },
        ...{ quorumSequence: quorum.sequence, quorumEpoch: epoch },
      },
    };
    await journal.record([fact]);
    writer.counted(epoch, quorum.sequence);
    const required = policies.find(({ policy }) => policy.version === quorum.policyVersion)?.policy.required ?? 1;
    onAcknowledged({ before, quorum: Math.max(before, quorum.sequence), required, reached });
    for (const acknowledgement of fresh) {
      if (this.#fresh.get(acknowledgement.host) === acknowledgement) this.#fresh.delete(acknowledgement.host);
    }
  }
}
