import pLimit from 'p-limit';
import { backoffMs } from '../../../domain/backoff.js';
import { isSamePolicy, nextPolicy, standingOf, type MetHost, type WantedPolicy } from '../../../domain/policy.js';
import { mayDivide, totalWeight, type Policy } from '../../../domain/replication.js';
import type { Time } from '../../platform/clock.js';
import { firstOf } from '../../platform/linked-signal.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import { HostFailure } from '../protocol/host-client.js';
import type { Journal, ShippingState } from './ports.js';

/** How often a URL that answered with an unexpected key is asked again, in milliseconds. */
const STRANGER_MS = 30_000;
/** How long the first policy waits for hosts that have not been met yet, in milliseconds. */
const FIRST_POLICY_MS = 5_000;
/** How long to wait after a failed recording, in milliseconds. */
const RETRY_MS = 1_000;

/** Dependencies of a policy reconciler. */
export interface PolicyDependencies {
  readonly origin: string;
  readonly wanted: WantedPolicy;
  /** Resolves the host that answers at a URL. */
  readonly whoIsAt: (url: string) => Promise<MetHost>;
  readonly journal: Journal;
  readonly time: Time;
  readonly logger: Logger;
  readonly known: () => ShippingState;
  /**
   * The line that the next policy begins, and whether a policy is due for that alone; undefined when it continues the
   * log's line.
   */
  readonly nextLine?: () => { readonly line: number; readonly isDue: boolean } | undefined;
  readonly changed: (signal: AbortSignal) => Promise<void>;
}

/** Meets the wanted hosts, and records the policy that follows when it differs from the log's. */
export class PolicyReconciler {
  readonly #dependencies: PolicyDependencies;
  readonly #met = new Map<string, MetHost>();
  /** Why a URL does not count. */
  readonly #failures = new Map<string, string>();
  /** One policy at a time: the next follows from the one before. */
  readonly #inTurn = pLimit(1);
  /**
   * Whether a policy may leave out hosts that were not met. The policy after the first needs a quorum under the first
   * as well: if that named only two of three hosts, nothing could ever be done without both.
   */
  #mayLeaveOut: boolean;
  /** The policy that this process recorded last. */
  #recorded: Policy | undefined;
  /** The version of another core's policy that was warned about. */
  #yieldedTo = 0;

  constructor(dependencies: PolicyDependencies) {
    this.#dependencies = dependencies;
    this.#mayLeaveOut = this.#current() !== undefined;
  }

  /** Why a wanted URL does not count; undefined when no reason is known. */
  failureOf(url: string): string | undefined {
    return this.#failures.get(url);
  }

  /** The host that answered at a wanted URL, if any. */
  metAt(url: string): MetHost | undefined {
    return this.#met.get(url);
  }

  async run(signal: AbortSignal): Promise<void> {
    const meeting = this.#dependencies.wanted.hosts.map(({ url }) => this.#meet(url, signal));
    const { changed, time, logger, known } = this.#dependencies;
    for (const { policy } of known().policies)
      if (mayDivide(policy))
        logger.warn(
          `policy ${policy.version} requires ${policy.required} of ${totalWeight(policy)} to sign: two halves could sign for different histories. Set OFFGRID_REQUIRED_ACKS to more than half.`,
        );
    if (!this.#mayLeaveOut) {
      await firstOf<unknown>(signal, (waiting) => [Promise.all(meeting), time.sleep(FIRST_POLICY_MS, waiting)]);
      this.#mayLeaveOut = true;
    }
    const failures = new FailureLog(logger, 'the replication policy cannot be recorded');
    while (!signal.aborted) {
      const news = changed(signal);
      try {
        await this.#set();
        failures.succeeded();
        await news;
      } catch (error) {
        failures.failed(error);
        await time.sleep(RETRY_MS, signal);
      }
    }
    await Promise.all(meeting);
  }

  /** The policy that was set last. */
  #current(): Policy | undefined {
    return this.#dependencies.known().policies.at(-1)?.policy;
  }

  #set(): Promise<void> {
    return this.#inTurn(() => this.#setNext());
  }

  async #setNext(): Promise<void> {
    if (!this.#mayLeaveOut) return;
    const { origin, wanted, journal, known } = this.#dependencies;
    const current = this.#current();
    const retired = [...known().hosts.values()].filter(({ state }) => state === 'RETIRED').map(({ host }) => host);
    const next = this.#dependencies.nextLine?.();
    const policy = nextPolicy(wanted, current, this.#met, new Set(retired), next?.isDue);
    if (policy === undefined) return;
    if (next?.isDue !== true && this.#recorded !== undefined && isSamePolicy(policy, this.#recorded)) {
      this.#yieldTo(current);
      return;
    }
    const holes = [...known().holes];
    const begins = next && { line: next.line, ...(holes.length === 0 ? {} : { holes }) };
    const data = { origin, ...policy, ...begins };
    await journal.record([{ type: 'ReplicationPolicySet', data }]);
    this.#recorded = policy;
  }

  /**
   * Another core of this log wants another policy. That core's policy remains: otherwise the two would replace it in
   * turn forever.
   */
  #yieldTo(other: Policy | undefined): void {
    if (other === undefined || other.version === this.#yieldedTo) return;
    this.#yieldedTo = other.version;
    this.#dependencies.logger.warn(
      `Policy ${other.version} differs from OFFGRID_STORAGE_HOSTS and OFFGRID_REQUIRED_ACKS of this core: another core of this log has other settings. The policy is not changed; give both cores the same settings.`,
    );
  }

  /** Asks which host answers at a URL, until it is one that may count. */
  async #meet(url: string, signal: AbortSignal): Promise<void> {
    const { time, whoIsAt, wanted, logger } = this.#dependencies;
    const one = wanted.hosts.find((host) => host.url === url);
    if (one === undefined) return;
    const unexpected = new FailureLog(logger, `the host at ${url} cannot be contacted`);
    for (let failures = 0; !signal.aborted;) {
      let waitMs = STRANGER_MS;
      try {
        const met = await whoIsAt(url);
        this.#met.set(url, met);
        const standing = standingOf(one, this.#current(), met);
        if (standing === 'UNMET' || 'host' in standing) {
          this.#failures.delete(url);
          await this.#set();
          return;
        }
        const failure = `${url} answers with the key ${met.host}, which is not the expected one; the host counts for nothing. If the key is right, name it in OFFGRID_STORAGE_HOSTS: ${url}#${met.host}`;
        if (this.#failures.get(url) !== failure) logger.error({ host: url }, failure);
        this.#failures.set(url, failure);
      } catch (error) {
        failures += 1;
        waitMs = backoffMs(failures, time.random());
        this.#failures.set(url, error instanceof Error ? error.message : String(error));
        if (!(error instanceof HostFailure)) unexpected.failed(error);
      }
      await time.sleep(waitMs, signal);
    }
  }
}
