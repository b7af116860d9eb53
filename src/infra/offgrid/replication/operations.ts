import { keyringStream, type KeyRotated } from '../../../domain/keyring.js';
import { invalidInput, notFound, type Problem } from '../../../domain/problem.js';
import {
  meetsWithout,
  quorumSequence,
  type HostState,
  type HostStateChanged,
  type ReplicationFact,
  type ReplicationPolicySet,
} from '../../../domain/replication.js';
import { Checks, LIMITS } from '../../../domain/rules.js';
import type { HaltReason } from '../../../domain/writer.js';
import { overloaded, WrongExpectedRevision } from '../../eventlog/errors.js';
import type { EventLog, ExpectedRevision } from '../../eventlog/eventlog.js';
import type { Clock } from '../../platform/clock.js';
import { KeyedQueue } from '../../platform/keyed-queue.js';
import type { Projector } from '../../projector/projector.js';
import { replicationStopped } from './halt-message.js';
import type { ShippingState, KnownHost } from './ports.js';
import { appendFact } from './replication-events.js';
import type { Outbox, ReplicationState } from './replication-state.js';
import type { Replicator } from './replicator.js';

/** How long the outbox may take to show what there is, in milliseconds. */
const CAUGHT_UP_MS = 5_000;
/** How often something is tried again that others were faster with. */
const MAX_CONFLICTS = 5;

/** Why nothing is replicated, though nothing is wrong with the hosts. */
export type NotReplicated = 'OTHER_ORIGIN' | 'OTHER_ROOT_KEY' | 'KEYRING_MISSING';

/** The states that an operator gives a host; the others it comes into by itself. */
export type SettableState = Extract<HostState, 'ACTIVE' | 'SUSPENDED' | 'RETIRED'>;

/** Who asks, and in which request. */
export interface Author {
  readonly actor: string;
  readonly correlationId: string;
}

/** What an operation came to: where the log shows it, at the latest, or why it was not done. */
export type Operated<More = unknown> =
  ({ readonly done: true; readonly position: bigint } & More) | { readonly done: false; readonly problem: Problem };

type Refused = Extract<Operated, { done: false }>;

/** What operations are carried out with. */
export interface OperationsDependencies {
  readonly origin: string;
  readonly log: EventLog;
  readonly outbox: Projector;
  readonly backlog: Outbox;
  readonly clock: Clock;
  readonly halted: () => HaltReason | undefined;
  readonly refusal: () => NotReplicated | undefined;
  /** Undefined while this core is not the one that replicates. */
  readonly replicator: () => Pick<Replicator, 'retry' | 'beginLine' | 'writer'> | undefined;
  /** Makes a key for an epoch; undefined without the root key. */
  readonly newKey: (keyEpoch: number) => KeyRotated | undefined;
}

/** What operators do about hosts and keys. One at a time; each judges by an outbox that shows what came before. */
export class Operations {
  readonly #dependencies: OperationsDependencies;
  readonly #queue = new KeyedQueue();

  constructor(dependencies: OperationsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Tries a host again at once; one that is BLOCKED or FULL is ACTIVE from then on. */
  retryHost(id: string, by: Author): Promise<Operated> {
    return this.#onHost(id, async (host) => {
      const { replicator, outbox } = this.#dependencies;
      const { state } = host;
      if (state === 'SUSPENDED' || state === 'RETIRED') {
        const advice = state === 'SUSPENDED' ? ' Reinstate it first, with setHostState to ACTIVE.' : '';
        return hostState(host, `Host '${id}' is ${state}: nothing is sent to it.${advice}`);
      }
      const isActive = state === 'ACTIVE';
      const position = isActive ? outbox.position : await this.#record(this.#changed(host, 'ACTIVE', 'Retried.'), by);
      replicator()?.retry(id);
      return { done: true, position };
    });
  }

  /**
   * Gives a host a state. RETIRED is for good, and only once the others have signed for all that a quorum has: what
   * nobody else keeps would be lost with it, and without enough others nothing could be signed for again.
   */
  async setHostState(id: string, state: SettableState, why: string, by: Author): Promise<Operated> {
    const problem = new Checks().text('why', why, 0, LIMITS.reasonLength).problem();
    if (problem !== undefined) return { done: false, problem };
    return this.#onHost(id, async (host, known) => {
      if (host.state === state) return { done: true, position: this.#dependencies.outbox.position };
      if (host.state === 'RETIRED')
        return hostState(host, `Host '${id}' is RETIRED, for good. Start it on an empty folder: it is another then.`);
      if (state === 'RETIRED' && !isDispensable(id, known))
        return hostState(
          host,
          `Host '${id}' cannot be retired yet: without it, the other hosts of the policy have not the weight it requires, or have not signed for all of events 1–${known.quorum}, or do not show yet that a quorum has these. Add hosts to OFFGRID_STORAGE_HOSTS, or wait until they have caught up.`,
        );
      const position = await this.#record(this.#changed(host, state, why), by);
      if (state === 'ACTIVE') this.#dependencies.replicator()?.retry(id);
      return { done: true, position };
    });
  }

  /** Vouches for a host's key: a policy that says so, and is otherwise the latest. */
  confirmHost(id: string, by: Author): Promise<Operated> {
    return this.#onHost(id, async (host, first) => {
      let known = first;
      let position = this.#dependencies.outbox.position;
      for (let tries = 0; tries <= MAX_CONFLICTS; tries += 1) {
        const policy = known.policies.at(-1)?.policy;
        const named = policy?.hosts.find((one) => one.host === id);
        if (policy === undefined || named === undefined)
          return hostState(host, `Host '${id}' is not in the policy: there is nothing to confirm.`);
        if (named.confirmed) return { done: true, position };
        const hosts = policy.hosts.map((one) => (one === named ? { ...one, confirmed: true } : one));
        const data = { origin: this.#dependencies.origin, ...policy, version: policy.version + 1, hosts };
        // The replicator may set a policy of this version at the same time; the first of them counts.
        position = await this.#record({ type: 'ReplicationPolicySet', data } satisfies ReplicationPolicySet, by);
        known = await this.#dependencies.backlog.known();
      }
      return refused('The policy is being changed by others. Try again in a moment.');
    });
  }

  /** Begins a key epoch: what comes after it is sealed with another key. */
  rotateKey(by: Author): Promise<Operated<{ readonly keyEpoch: number }>> {
    return this.#inQueue(async (known) => {
      const { origin, newKey, log } = this.#dependencies;
      const refusal = this.#refused(known);
      if (refusal !== undefined) return refusal;
      for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts += 1) {
        let revision = -1n;
        let keyEpoch = 0;
        for await (const event of log.readStream(keyringStream(origin))) {
          revision = event.revision;
          keyEpoch = Math.max(keyEpoch, Number(event.data['keyEpoch']));
        }
        const fact = newKey(keyEpoch + 1);
        if (fact === undefined) return refused(REFUSALS.KEYRING_MISSING);
        if (fact.data.rootKeyId !== known.keys[0]?.rootKeyId) return refused(REFUSALS.OTHER_ROOT_KEY);
        try {
          const position = await this.#record(fact, by, revision < 0n ? 'no-stream' : revision);
          return { done: true, position, keyEpoch: fact.data.keyEpoch };
        } catch (error) {
          if (!(error instanceof WrongExpectedRevision)) throw error;
        }
      }
      return refused('The keys are being changed by others. Try again in a moment.');
    });
  }

  /**
   * Begins a line with this core's own log, above every line that a host has shown: what was at quorum in older lines binds
   * it no more, and the policies of hosts that are lost for good end. A core that was halted goes on.
   * @param named the name of the origin, as a person has typed it
   */
  beginLine(named: string, by: Author): Promise<Operated<{ readonly line: number }>> {
    const { origin } = this.#dependencies;
    if (named !== origin) {
      const problem = invalidInput([{ path: 'origin', message: `must be '${origin}', the name of this core` }]);
      return Promise.resolve({ done: false, problem });
    }
    return this.#withReplicator(async (replicator) => {
      const line = await replicator.beginLine((fact) => this.#record(fact, by));
      return { line };
    });
  }

  /** Forgets why this core was halted: it claims the hosts again, and is judged anew. */
  resumeWriter(): Promise<Operated> {
    return this.#withReplicator(async ({ writer }) => {
      if (writer.halted === undefined) return refused('This core is not halted: there is nothing to resume.');
      await writer.resume();
      return {};
    });
  }

  /** What is done by the core that replicates, whether it is halted or not. */
  #withReplicator<More extends object>(
    work: (replicator: Pick<Replicator, 'beginLine' | 'writer'>) => Promise<More | Refused>,
  ): Promise<Operated<More>> {
    const { origin, backlog, outbox, replicator: running } = this.#dependencies;
    return this.#queue.run(
      origin,
      async () => {
        if (!(await backlog.catchUp())) return refused(NOT_CAUGHT_UP);
        const refusal = this.#refused(await backlog.known());
        if (refusal !== undefined) return refusal;
        const replicator = running();
        if (replicator === undefined)
          return refused('Another core of this log replicates it, or replication has just begun. Ask that core.');
        const more = await work(replicator);
        return 'problem' in more ? more : { done: true, position: outbox.position, ...more };
      },
      WAITING,
    );
  }

  #onHost(id: string, work: (host: KnownHost, known: ReplicationState) => Promise<Operated>): Promise<Operated> {
    return this.#inQueue(async (known) => {
      const host = known.hosts.get(id);
      if (host === undefined) return { done: false, problem: notFound('Host', id) };
      return this.#refused(known) ?? (await work(host, known));
    });
  }

  /** @throws LogError REPLICATION_STOPPED */
  #inQueue<More>(work: (known: ReplicationState) => Promise<Operated<More>>): Promise<Operated<More>> {
    const { origin, halted, backlog } = this.#dependencies;
    return this.#queue.run(
      origin,
      async () => {
        const reason = halted();
        if (reason !== undefined) throw replicationStopped(reason);
        if (!(await backlog.catchUp())) return refused(NOT_CAUGHT_UP);
        return work(await backlog.known());
      },
      WAITING,
    );
  }

  /** Nothing is changed where nothing is replicated. */
  #refused({ origin }: ShippingState): Refused | undefined {
    const refusal = this.#dependencies.refusal();
    if (refusal !== undefined) return refused(REFUSALS[refusal]);
    if (origin === undefined) return refused('Replication has not begun yet. Try again in a moment.');
    return origin === this.#dependencies.origin ? undefined : refused(REFUSALS.OTHER_ORIGIN);
  }

  #changed({ host, sequence }: KnownHost, to: HostState, why: string): HostStateChanged {
    return { type: 'HostStateChanged', data: { origin: this.#dependencies.origin, host, state: to, sequence, why } };
  }

  async #record(fact: ReplicationFact | KeyRotated, by: Author, expected: ExpectedRevision = 'any'): Promise<bigint> {
    const { log, outbox, clock } = this.#dependencies;
    const { actor, correlationId } = by;
    const at = clock.now().toISOString();
    const position = await appendFact(log, fact, { at, actor, correlationId }, expected);
    await outbox.reaches(position, CAUGHT_UP_MS);
    return position;
  }
}

const WAITING = overloaded('changes of replication wait');
const NOT_CAUGHT_UP = 'The outbox has not caught up with the log, so it is not known how the hosts are. Try again.';

const REFUSALS: Readonly<Record<NotReplicated, string>> = {
  OTHER_ORIGIN: 'Nothing is replicated: the log is that of another origin than SHERATAN_ORIGIN.',
  OTHER_ROOT_KEY:
    'Nothing is replicated: the log is sealed with another root key than the keyring holds. Put back the key it had: sheratan keys import.',
  KEYRING_MISSING:
    'Nothing is replicated: the keyring is gone, and the log is sealed with its key. Put the recovery key back: sheratan keys import.',
};

/**
 * Whether what a quorum has signed for stays signed for without a host, and can go on to be. The hosts that stay must also
 * show that the policy in force is: whoever restores from them would ask for those of the one before it.
 */
function isDispensable(id: string, { policies, hosts, quorum, quorumEpoch }: ReplicationState): boolean {
  const retired = [...hosts.values()].filter((host) => host.state === 'RETIRED').map(({ host }) => host);
  const gone = new Set([...retired, id]);
  const reached = new Map([...hosts].map(([host, { sequence }]) => [host, sequence]));
  const concerned = policies.filter(({ policy }) => policy.hosts.some(({ host }) => host === id));
  if (!concerned.every(({ policy }) => meetsWithout(policy, gone, reached, quorum))) return false;
  const [inForce] = policies;
  if (inForce === undefined || quorumEpoch === 0) return true;
  const shown = new Map([...hosts].map(([host, { head }]) => [host, head?.quorum ?? 0]));
  for (const host of gone) shown.delete(host);
  return quorumSequence(inForce.policy, shown) >= Math.min(inForce.sequence, quorum);
}

function hostState({ host, state }: KnownHost, message: string): Refused {
  return { done: false, problem: { code: 'HOST_STATE', message, hostId: host, state } };
}

function refused(message: string): Refused {
  return { done: false, problem: { code: 'REPLICATION_STATE', message } };
}
