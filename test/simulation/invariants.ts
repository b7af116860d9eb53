import { isDeepStrictEqual } from 'node:util';
import type { RecordedEvent } from '../../src/domain/event.js';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import type { HostStateChanged, Policy } from '../../src/domain/replication.js';
import { equalBytes, toHex } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import type { SimCore } from './core.js';
import type { SimHost } from './host.js';

/** Whom an operator's doings are by. */
export const OPERATOR = 'by an operator';

/** Something is not as it was promised. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Watches what every core records and every host has. */
export class Invariants {
  readonly #hosts: readonly SimHost[];
  /** What a quorum has been said to have signed: whatever else happens, this is the story. */
  readonly #committed: Uint8Array[] = [];
  readonly #seen = new WeakMap<SimCore, string>();

  constructor(hosts: readonly SimHost[]) {
    this.#hosts = hosts;
  }

  /** How far a quorum has signed. */
  get committed(): number {
    return this.#committed.length;
  }

  /** @throws Violation */
  afterFold(core: SimCore, event: RecordedEvent): void {
    if (event.type === 'HostStateChanged') this.#accusedRightly(event.data as unknown as HostStateChanged['data']);
    const { quorum = 0, policy = null } = core.outbox.progress ?? {};
    const now = `${quorum} ${String(policy)}`;
    if (event.type !== 'ReplicasAcknowledged' || this.#seen.get(core) === now) return;
    this.#seen.set(core, now);
    this.#isKept(core, quorum);
    this.#isOneStory(core, quorum);
  }

  /** What must hold once everything has calmed down. @throws Violation */
  atRest(core: SimCore, others: readonly SimCore[], mayForget: boolean): void {
    const { head = 0, quorum = 0, policy = null } = core.outbox.progress ?? {};
    check(quorum === head, `the quorum is at ${quorum}, the log at ${head}`);
    check(quorum >= this.committed, `${this.committed} events were acknowledged, and there are ${quorum}`);
    this.#isKept(core, quorum);
    this.#isOneStory(core, quorum);
    const inForce = core.outbox.policy(policy);
    for (const host of this.#hosts) {
      this.#isWhole(host);
      const row = core.outbox.hosts.find((known) => known.host === host.identity.id);
      const isNamed = inForce?.hosts.some((named) => named.host === host.identity.id) === true;
      if (host.isHonest && isNamed && row?.state === 'ACTIVE') {
        const { length } = host.disk.events;
        check(length === head && holds(host, core, head), `${host.url} has ${length} events, not the log's ${head}`);
        check(row.sequence === head, `${host.url} has signed for ${row.sequence} of ${head} by the log`);
      }
      if (host.isHonest && !mayForget) {
        check(host.disk.setAside.length === 0, `${host.url} set events aside, and there was one log`);
        check(host.disk.forks.length === 0, `${host.url} was sent two stories`);
      }
      if (host.isHonest)
        for (const { sequence, eid } of host.disk.setAside) {
          const kept = this.#committed[sequence - 1];
          check(kept === undefined || !equalBytes(kept, eid), `${host.url} set acknowledged event ${sequence} aside`);
        }
    }
    for (const one of [core, ...others])
      check(isDeepStrictEqual(one.replayed().rows(), one.outbox.rows()), `the outbox of ${one.name} is not its replay`);
  }

  #accusedRightly({ host, state, why }: HostStateChanged['data']): void {
    if (why === OPERATOR || (state !== 'SUSPENDED' && state !== 'BLOCKED')) return;
    const accused = this.#hosts.find(({ identity }) => identity.id === host);
    check(accused?.isHonest === false, `${accused?.url ?? host} is honest, and is ${state}: ${why}`);
  }

  /** What the log says a quorum has signed is on the disks of one, less the hosts that lie. */
  #isKept(core: SimCore, quorum: number): void {
    const policy = core.outbox.policy(core.outbox.progress?.policy ?? null);
    if (policy === undefined) return;
    const weight = this.#weightThat(policy, (host) => host.isHonest && holds(host, core, quorum));
    const lying = this.#weightThat(policy, (host) => !host.isHonest);
    check(
      weight >= policy.required - lying,
      `${core.name} says a quorum has ${quorum} events, and hosts of weight ${weight} of ${policy.required} have (policy ${policy.version})`,
    );
  }

  #isOneStory(core: SimCore, quorum: number): void {
    for (const [i, eid] of core.addresses(quorum).entries()) {
      const known = this.#committed[i];
      if (known === undefined) this.#committed.push(eid);
      else check(equalBytes(known, eid), `event ${i + 1} was acknowledged twice: ${core.name} has another`);
    }
  }

  /** What a host says of its events follows from them. */
  #isWhole({ disk: { replica, events }, url }: SimHost): void {
    if (replica === undefined) return;
    const tree = new MerkleFrontier(sha256);
    for (const { eid } of events) tree.append(eid);
    const said = new MerkleFrontier(sha256, replica.sequence, replica.peaks);
    check(toHex(tree.root()) === toHex(said.root()), `the head of ${url} is not that of its events`);
  }

  #weightThat(policy: Policy, has: (host: SimHost) => boolean): number {
    let sum = 0;
    for (const { host: id, weight } of policy.hosts) {
      const host = this.#hosts.find(({ identity }) => identity.id === id);
      if (host !== undefined && has(host)) sum += weight;
    }
    return sum;
  }
}

/** Whether a host has the first events of a core's log. */
function holds({ disk }: SimHost, core: SimCore, count: number): boolean {
  return core.addresses(count).every((eid, i) => {
    const stored = disk.events[i];
    return stored !== undefined && equalBytes(stored.eid, eid);
  });
}

/** @throws Violation unless something holds */
export function check(holds: boolean, message: string): void {
  if (!holds) throw new Violation(message);
}
