import { MerkleFrontier } from '../../src/domain/merkle.js';
import { meetsEveryQuorum, type Policy } from '../../src/domain/replication.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import { dataKey, type DataKey } from '../../src/infra/crypto/data-key.js';
import { addressOf, keyIdOf, open } from '../../src/infra/crypto/envelope.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { publicKeyOf } from '../../src/infra/crypto/signing.js';
import { eventOf, type TravellingEvent } from '../../src/infra/offgrid/event-text.js';
import { HostError, type HostPort } from '../../src/infra/offgrid/replicator/host-port.js';
import { assertTrue, Lie } from '../../src/infra/offgrid/replicator/lie.js';
import { signClaim } from '../../src/infra/offgrid/wire/claim.js';
import type { KeyRotated } from '../../src/domain/keyring.js';
import type { SimHost } from './host.js';
import type { SignedHead } from '../../src/infra/offgrid/wire/head.js';

/** What a restore works with. */
export interface RestoreGround {
  readonly origin: string;
  readonly root: RootKey;
  readonly logId: string;
  readonly hosts: readonly { readonly host: SimHost; readonly port: HostPort }[];
  readonly wait: () => Promise<void>;
}

/** What the hosts gave back. */
export interface Restored {
  readonly epoch: number;
  readonly writer: string;
  readonly events: readonly (TravellingEvent & { readonly etype: number })[];
  readonly policy: Policy;
}

interface Grant {
  readonly host: SimHost;
  readonly port: HostPort;
  readonly head: SignedHead;
}

/**
 * Claims the hosts for another log, and takes the tail of the highest epoch, then the longest, once so many honest hosts
 * have granted that one of them has whatever a quorum has signed. Who is honest an operator knows, and so does this.
 */
export async function restore(ground: RestoreGround): Promise<Restored> {
  const { logId, wait } = ground;
  for (let epoch = 2, attempt = 1; ; attempt += 1) {
    const writer = `${logId}:restore-${attempt}`;
    const claimed = await claimAll(ground, epoch, writer);
    if (typeof claimed === 'number') epoch = claimed;
    else {
      const events = await newestOf(ground, claimed);
      const policy = events?.findLast(({ type }) => type === 'ReplicationPolicySet')?.data as unknown as
        Policy | undefined;
      const honest = new Set(claimed.filter(({ host }) => host.isHonest).map(({ host }) => host.identity.id));
      if (events !== undefined && policy !== undefined && meetsEveryQuorum(policy, honest))
        return { epoch, writer, events, policy };
      epoch += 1;
    }
    await wait();
  }
}

/** Who grants an epoch; or the next that may be claimed. */
async function claimAll(
  { origin, root, hosts }: RestoreGround,
  epoch: number,
  writer: string,
): Promise<readonly Grant[] | number> {
  const granted: Grant[] = [];
  for (const { host, port } of hosts) {
    const challenge = `challenge-of-${writer}`;
    try {
      const head = await port.claim(
        origin,
        signClaim(root, { origin, host: host.identity.id }, { epoch, writer, challenge }),
      );
      assertTrue(head, { host: host.identity.id, key: publicKeyOf(host.identity.verifyKey)!, origin, challenge });
      granted.push({ host, port, head });
    } catch (error) {
      if (error instanceof HostError && error.details.granted !== undefined) return error.details.granted.epoch + 1;
      if (!(error instanceof HostError || error instanceof Lie)) throw error;
    }
  }
  return granted;
}

/** The events of the best tail that holds what its head says; undefined when the host that has it cannot be asked. */
async function newestOf(ground: RestoreGround, granted: readonly Grant[]): Promise<Restored['events'] | undefined> {
  const best = [...granted].sort((a, b) => b.head.epoch - a.head.epoch || b.head.sequence - a.head.sequence);
  for (const grant of best) {
    try {
      const events = await eventsOf(ground, grant);
      if (events !== undefined) return events;
    } catch (error) {
      if (error instanceof HostError) return undefined;
      throw error;
    }
  }
  return undefined;
}

/** What a host has, opened; undefined when it is not what its head says. */
async function eventsOf(
  { origin, root }: RestoreGround,
  { port, head }: Grant,
): Promise<Restored['events'] | undefined> {
  const returned = await port.events(origin, 0, head.sequence + 1);
  const tree = new MerkleFrontier(sha256);
  const keys = new Map<string, DataKey>([[toHex(root.firstDataKey.id), root.firstDataKey]]);
  const events: (TravellingEvent & { etype: number })[] = [];
  try {
    for (const { sequence, etype, ts: at, sealed } of returned) {
      tree.append(addressOf(sealed));
      const key = keys.get(toHex(keyIdOf(sealed))) ?? dataKey(new Uint8Array());
      const event = eventOf(open(key, { origin, sequence, etype, at }, sealed));
      if (event === undefined) return undefined;
      if (event.type === 'KeyRotated') {
        const { keyEpoch, keyId, wrappedKey } = event.data as unknown as KeyRotated['data'];
        const next = root.unwrap(wrappedKey, { origin, keyEpoch, keyId });
        if (next !== undefined) keys.set(keyId, next);
      }
      events.push({ ...event, etype });
    }
  } catch {
    return undefined;
  }
  return toHex(tree.root()) === head.root && events.length === head.sequence ? events : undefined;
}
