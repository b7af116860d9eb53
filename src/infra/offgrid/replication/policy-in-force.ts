import type { PlacedPolicy } from '../../../domain/replication.js';

/** The version of the policy in force once so many events are at quorum; 0 without any. @param policies in play */
export function versionInForce(policies: readonly PlacedPolicy[], quorum: number): number {
  const inForce = policies.findLast(({ sequence }) => sequence <= quorum) ?? policies[0];
  return inForce?.policy.version ?? 0;
}
