import type { JsonObject } from '../../../domain/json.js';
import type { PolicyOnHistory } from '../../../domain/reading.js';
import { isReplicationFact, type HostState, type Policy } from '../../../domain/replication.js';

/** A policy with its version. */
export type KnownPolicy = PolicyOnHistory & { readonly policy: Policy };

/** An event that gave a host a state. */
export interface KnownState {
  readonly sequence: number;
  readonly host: string;
  readonly state: HostState;
}

/**
 * The policies and host states of a history, folded as the outbox does: of two policies of one version the first
 * counts.
 */
export class HistoryNotes {
  readonly #origin: string;
  readonly #policies: KnownPolicy[] = [];
  readonly #states: KnownState[] = [];

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** The policies on the first events, in the order they were set. */
  policies(to: number): readonly KnownPolicy[] {
    return this.#policies.filter(({ sequence }) => sequence <= to);
  }

  /** The changes of host states on the first events. */
  states(to: number): readonly KnownState[] {
    return this.#states.filter(({ sequence }) => sequence <= to);
  }

  /** Takes note of the next event. */
  note(sequence: number, { type, data }: { readonly type: string; readonly data: JsonObject }): void {
    if (data['origin'] !== this.#origin) return;
    if (type === 'HostStateChanged' && isReplicationFact({ type, data })) {
      const { host, state } = data as unknown as { host: string; state: HostState };
      this.#states.push({ sequence, host, state });
    }
    if (type !== 'ReplicationPolicySet' || !isReplicationFact({ type, data })) return;
    const { version, hosts, required, line = 1 } = data as unknown as Policy & { readonly line?: number };
    if (this.#policies.some(({ policy }) => policy.version === version)) return;
    const current = this.#policies.at(-1)?.line ?? 1;
    this.#policies.push({ policy: { version, hosts, required }, line: Math.max(current, line), sequence });
  }
}
