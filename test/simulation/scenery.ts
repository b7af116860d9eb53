import type { WantedHost, WantedPolicy } from '../../src/domain/policy.js';
import { majorityOf } from '../../src/domain/replication.js';
import type { Random } from '../support/random.js';
import { LIES, SimHost } from './host.js';
import type { Weather } from './network.js';
import type { VirtualClock } from './virtual-time.js';

/** What the network of a seed is like. */
export function weatherOf(random: Random): Weather {
  return {
    loss: random.pick([0, 0.02, 0.15]),
    duplication: random.pick([0, 0.1, 0.3]),
    lateness: random.pick([0, 0.02, 0.1]),
    maxDelayMs: random.pick([5, 100, 1_000]),
    busy: random.pick([0, 0, 0.1]),
  };
}

/** Three to five hosts, one of which may lie. */
export function newHosts(random: Random, origin: string, clock: VirtualClock): readonly SimHost[] {
  const count = random.between(3, 5);
  const liar = random.chance(0.35) ? random.between(0, count - 1) : -1;
  return Array.from({ length: count }, (_, i) => {
    const lie = { kind: random.pick(LIES), chance: random.pick([0.1, 0.5, 1]) };
    const traits = {
      weight: random.chance(0.8) ? 1 : 2,
      skewMs: random.between(-7_200_000, 7_200_000),
      maxBodyBytes: random.chance(0.2) ? random.between(1_500, 4_000) : Infinity,
      lie: i === liar ? lie : undefined,
    };
    const host = new SimHost(i, origin, traits, clock, random);
    host.disk.faults.failure = random.chance(0.2) ? 0.1 : 0;
    host.disk.faults.maxDelayMs = random.pick([1, 20, 500]);
    return host;
  });
}

/**
 * A policy under which the sound ones of some hosts can do everything alone; one of all sound hosts when there is none.
 * @param mayBeLow whether less than a majority may be required
 */
export function soundPolicy(
  random: Random,
  hosts: readonly SimHost[],
  sound: readonly SimHost[],
  mayBeLow: boolean,
): WantedPolicy {
  const total = weightOf(hosts);
  const weight = weightOf(hosts.filter((host) => sound.includes(host)));
  const isSound = (required: number) => weight >= required && weight > total - required;
  const wanted = hosts.map(({ url, identity, traits }): WantedHost => {
    const named = random.chance(0.3) ? { fingerprint: identity.id } : {};
    return { url, weight: traits.weight, ...named };
  });
  const required = random.between(1, total);
  if (mayBeLow && random.chance(0.3) && isSound(required)) return { hosts: wanted, required };
  if (isSound(majorityOf(total))) return { hosts: wanted, required: undefined };
  return { hosts: sound.map(({ url, traits }) => ({ url, weight: traits.weight })), required: undefined };
}

function weightOf(hosts: readonly SimHost[]): number {
  return hosts.reduce((sum, { traits }) => sum + traits.weight, 0);
}
