import type { WantedPolicy } from '../../src/domain/policy.js';
import { majorityOf } from '../../src/domain/replication.js';
import type { Random } from '../support/random.js';
import { ORIGIN } from './bodies.js';
import { MAX_HOSTS, SimHost } from './host.js';
import type { Weather } from './network.js';
import type { VirtualClock } from './virtual-time.js';

/**
 * What may go wrong beside crashes, networks and copies. F0: hosts are honest. F1: some are dishonest, and their weight
 * is declared. F2: some are dishonest, and their weight is not declared. F3: the folders of some are put back to older
 * copies, and their weight is declared. F13: both. FV: a running process is resumed twice.
 */
export const FAMILIES = ['F0', 'F1', 'F13', 'F2', 'F3', 'FV'] as const;
export type Family = (typeof FAMILIES)[number];

/**
 * How much is sent or asked for at a time, in bytes: from one event to all of them. A seed uses some of these sizes.
 */
export const TRANSFER_BYTES: readonly (readonly number[])[] = [
  [1],
  [1, 1_200],
  [1_200, 3_000],
  [600, 10_000],
  [10_000],
];

/** The network conditions of a seed. */
export function weatherOf(random: Random): Weather {
  return {
    loss: random.pick([0, 0.02, 0.15]),
    duplication: random.pick([0, 0.1, 0.3]),
    lateness: random.pick([0, 0.02, 0.1]),
    maxDelayMs: random.pick([5, 100, 1_000]),
    busy: random.pick([0, 0, 0.1]),
  };
}

/** The hosts of a seed, and which of them have the faults of its family. The last one is always honest. */
export function newHosts(
  family: Family,
  random: Random,
  clock: VirtualClock,
): { readonly hosts: readonly SimHost[]; readonly liars: readonly SimHost[] } {
  const hasFaulty = family !== 'F0' && family !== 'FV';
  const counts = family === 'F13' ? [4, 5, 5, 5, MAX_HOSTS, MAX_HOSTS] : [3, 4, 4, 5, 5, MAX_HOSTS];
  const count = hasFaulty ? random.pick(counts) : random.between(2, 5);
  const isPair =
    (count > 4 && (family === 'F13' || random.chance(0.2))) || (count > 3 && family === 'F2' && random.chance(0.5));
  const weights = Array.from({ length: count }, (_, i) => ((hasFaulty && i < 2) || random.chance(0.8) ? 1 : 2));
  // With W ≥ 3f + 1 dishonest hosts are outvoted, and not needed.
  for (let i = 2; hasFaulty && i < count && sumOf(weights) < 3 * (isPair ? 2 : 1) + 1; i += 1) weights[i] = 2;
  const hosts = weights.map((weight, i) => {
    const traits = { weight, skewMs: random.between(-7_200_000, 7_200_000) };
    const host = new SimHost(i, ORIGIN, traits, clock, random);
    host.disk.faults.failure = random.chance(0.15) ? 0.05 : 0;
    host.disk.faults.maxDelayMs = random.pick([1, 20, 300]);
    return host;
  });
  const some = hosts.slice(0, isPair ? 2 : 1);
  const liars = family === 'F1' || family === 'F2' ? some : family === 'F13' ? hosts.slice(0, 1) : [];
  const rolled = family === 'F3' ? some : family === 'F13' && isPair ? hosts.slice(1, 2) : [];
  for (const host of rolled) host.isRolledBack = true;
  return { hosts, liars };
}

/** A policy of some hosts. @param dishonest the declared weight that may be dishonest */
export function newPolicy(family: Family, random: Random, hosts: readonly SimHost[], dishonest: number): WantedPolicy {
  const drawn = hosts.filter(() => random.chance(dishonest > 0 ? 0.95 : 0.85));
  // Policies with too few hosts to outvote the dishonest ones are rare.
  const isFew = sumOf(drawn.map(({ traits }) => traits.weight)) <= 3 * dishonest && random.chance(0.8);
  const named = isFew ? hosts : drawn.length === 0 ? [random.pick(hosts)] : drawn;
  const wanted = named.map(({ url, identity, traits }) => ({
    ...{ url, weight: traits.weight },
    ...(random.chance(0.3) ? { fingerprint: identity.id } : {}),
  }));
  const weight = sumOf(wanted.map((host) => host.weight));
  const usual = Math.min(weight, Math.max(majorityOf(weight), Math.ceil((weight + dishonest + 1) / 2)));
  return {
    hosts: wanted,
    required: family === 'FV' || random.chance(0.8) ? usual : random.between(Math.min(weight, dishonest + 1), weight),
  };
}

function sumOf(weights: readonly number[]): number {
  return weights.reduce((sum, weight) => sum + weight, 0);
}
