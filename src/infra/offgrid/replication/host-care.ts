import { equalBytes } from '../../crypto/bytes.js';
import type { Time } from '../../platform/clock.js';
import { firstOf } from '../../platform/linked-signal.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import { Nudge } from '../../platform/nudge.js';
import { MAX_DAMAGED } from '../protocol/answers.js';
import { MAX_BATCH_EVENTS } from '../protocol/batch.js';
import type { NumberedEvent } from '../protocol/event.js';
import { HostFailure, type HostClient } from '../protocol/host-client.js';
import type { GoodHead } from '../protocol/verify-head.js';
import type { EnvelopeCache } from './envelope-cache.js';
import type { LocalHistory } from './local-history.js';
import type { ShippingState } from './ports.js';

/** How much is mended beside shipping, in bytes per second. */
const MEND_BYTES_PER_SECOND = 64 * 1024;
/** How much one request mends, in bytes: one second's worth. */
const MEND_BYTES = MEND_BYTES_PER_SECOND;
/** How long a host that reports damage is left between two attempts to mend it, in milliseconds. */
const MEND_EVERY_MS = 60_000;
/** How often a host is asked for an event that it has signed for, in milliseconds: four times an hour. */
const AUDIT_EVERY_MS = 900_000;

/** Dependencies of the care for a host. */
export interface CareDependencies {
  readonly origin: string;
  readonly host: string;
  readonly envelopes: Pick<EnvelopeCache, 'take'>;
  readonly history: LocalHistory;
  readonly time: Time;
  readonly state: () => Pick<ShippingState, 'holes'>;
  /** Whether the host is one to exchange events with. */
  readonly isServed: () => boolean;
  readonly logger: Logger;
}

/** Sends a host again what is damaged there, and checks from time to time whether it has what it has signed for. */
export class HostCare {
  readonly #client: HostClient;
  readonly #dependencies: CareDependencies;
  readonly #nudged = new Nudge();
  #head: GoodHead | undefined;
  #mendedAt = -Infinity;
  #failedAudits = 0;

  constructor(client: HostClient, dependencies: CareDependencies) {
    this.#client = client;
    this.#dependencies = dependencies;
  }

  /** How often the host has returned another event than the one it signed for, or none. */
  get failedAudits(): number {
    return this.#failedAudits;
  }

  /** The host has shown a head. */
  seen(head: GoodHead): void {
    const isNews = head.damaged > 0 && head.damaged !== this.#head?.damaged;
    this.#head = head;
    if (isNews) this.#nudged.notify();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { time, logger, host, isServed } = this.#dependencies;
    const failures = new FailureLog(logger, `host ${host} cannot be mended or audited`);
    let auditAt = time.now().getTime() + AUDIT_EVERY_MS;
    while (!signal.aborted) {
      const isDamaged = (this.#head?.damaged ?? 0) > 0;
      const mendAt = isDamaged ? this.#mendedAt + MEND_EVERY_MS : Infinity;
      const waitMs = Math.max(0, Math.min(auditAt, mendAt) - time.now().getTime());
      await firstOf(signal, (waiting) => [this.#nudged.wait(waiting), time.sleep(waitMs, waiting)]);
      if (signal.aborted) return;
      const now = time.now().getTime();
      try {
        if (now >= mendAt) {
          this.#mendedAt = now;
          if (isServed()) await this.#mend(signal);
        }
        if (now >= auditAt) {
          auditAt = now + AUDIT_EVERY_MS;
          if (isServed()) await this.#audit();
        }
        failures.succeeded();
      } catch (error) {
        // The loop that ships to a host reports when it cannot be reached.
        if (!(error instanceof HostFailure)) failures.failed(error);
      }
    }
  }

  /** How many of a host's events are the first events of the local log; 0 when its head is not on it. */
  async #common(): Promise<number> {
    const tree = this.#head?.tree?.value;
    if (tree === undefined) return 0;
    return (await this.#dependencies.history.has(tree.sequence, tree.root)) ? tree.sequence : 0;
  }

  async #mend(signal: AbortSignal): Promise<void> {
    const { origin, host, logger, state } = this.#dependencies;
    const common = await this.#common();
    const { holes } = state();
    let mended = 0;
    for (let after = 0; !signal.aborted;) {
      const { sequences } = await this.#client.damaged(origin, { after, limit: MAX_DAMAGED });
      const last = sequences.at(-1);
      if (last === undefined || last <= after) break;
      after = last;
      mended += await this.#mendEach(
        sequences.filter((sequence) => sequence <= common && !holes.has(sequence)),
        signal,
      );
    }
    if (mended > 0) logger.warn(`${mended} events that were damaged at host ${host} are intact there again`);
  }

  async #mendEach(sequences: readonly number[], signal: AbortSignal): Promise<number> {
    const { origin, time } = this.#dependencies;
    let [mended, bytes] = [0, 0];
    let events: NumberedEvent[] = [];
    const send = async () => {
      if (events.length === 0 || signal.aborted) return;
      mended += await this.#client.mend(origin, events);
      await time.sleep((bytes / MEND_BYTES_PER_SECOND) * 1_000, signal);
      [events, bytes] = [[], 0];
    };
    for (const sequence of sequences) {
      const event = await this.#own(sequence);
      if (event === undefined) continue;
      if (bytes + event.sealed.byteLength > MEND_BYTES || events.length === MAX_BATCH_EVENTS) await send();
      events.push(event);
      bytes += event.sealed.byteLength;
    }
    await send();
    return mended;
  }

  /**
   * Whether a host returns what it has signed for. Wrong content proves nothing against it: the event is sent again.
   */
  async #audit(): Promise<void> {
    const { origin, host, time, logger } = this.#dependencies;
    const common = await this.#common();
    if (common === 0) return;
    const sequence = 1 + Math.floor(time.random() * common);
    const own = await this.#own(sequence);
    if (own === undefined) return;
    const [event] = await this.#client.events(origin, { of: 'head', after: sequence - 1, limit: 1, bytes: 1 });
    const isWhole =
      event?.sequence === sequence &&
      event.etype === own.etype &&
      event.ts === own.ts &&
      event.sealed !== null &&
      equalBytes(event.sealed, own.sealed);
    if (isWhole) return;
    this.#failedAudits += 1;
    logger.warn(`host ${host} does not return event ${sequence}, which it has signed for; the event is sent again`);
    await this.#client.mend(origin, [own]);
  }

  async #own(sequence: number): Promise<NumberedEvent | undefined> {
    const [event] = await this.#dependencies.envelopes.take(sequence - 1, 1, 1);
    if (event === undefined || event.sealed === null) return undefined;
    const { ts, etype, sealed } = event;
    return { ts, etype, sealed, sequence };
  }
}
