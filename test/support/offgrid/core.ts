import { expect, onTestFinished } from 'vitest';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { TestNode, type Untyped } from '../node.js';
import { AUTH_KEY } from './host.js';

/** How long tests wait for replication. */
export const WAIT = { timeout: 120_000, interval: 20 };

export type HostAt = Pick<RunningHost, 'url'>;

/** The settings of a core that replicates to hosts. */
export function replicating(hosts: readonly HostAt[]): Record<string, string> {
  return {
    OFFGRID_STORAGE_ENABLED: 'true',
    OFFGRID_STORAGE_HOSTS: hosts.map(({ url }) => url).join(','),
    OFFGRID_AUTH_KEY: AUTH_KEY,
  };
}

/** A core that replicates to hosts; it stops when the test ends. */
export async function newCore(hosts: readonly HostAt[], env: Readonly<Record<string, string>> = {}): Promise<TestNode> {
  const node = await TestNode.start({ ...replicating(hosts), ...env });
  onTestFinished(() => node.stop());
  return node;
}

/** A core whose hosts have signed for all of its events: its first key and its policy. */
export async function settledCore(
  hosts: readonly HostAt[],
  env: Readonly<Record<string, string>> = {},
): Promise<TestNode> {
  const node = await newCore(hosts, env);
  await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(2));
  return node;
}

/** The status when every host has signed for all events 1 … sequence. */
export function keptByAll(sequence: number): object {
  return { headSequence: sequence, quorumSequence: sequence, pending: 0, degraded: false };
}

const STATUS = `{ replicationStatus {
  enabled origin line elected missingWeight mayLie staged { host events } writerEpoch keyEpoch policyVersion requiredAcks headSequence quorumSequence pending completed lagSeconds
  degraded stopped { code message } refusal unmet { url trouble }
  hosts { id name url state why confirmed weight sequence behind lastAcknowledgedAt reached lastError damaged proof { kind at } score }
} }`;

/** All fields of `replicationStatus`. */
export async function statusOf(node: TestNode): Promise<Untyped> {
  return (await node.gql(STATUS)).replicationStatus;
}
