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

/** How long the outbox may take to show a recorded event, in milliseconds. */
const CAUGHT_UP_MS = 5_000;
/** How often an operation is tried again after a conflict with another. */
const MAX_CONFLICTS = 5;

/** Why nothing is replicated, for a reason other than the hosts. */
export type NotReplicated = 'OTHER_ORIGIN' | 'OTHER_ROOT_KEY' | 'KEYRING_MISSING';

/** The states that an operator can give a host; the other states are set automatically. */
export type SettableState = Extract<HostState, 'ACTIVE' | 'SUSPENDED' | 'RETIRED'>;

/** Who requests an operation, and in which request. */
export interface Author {
  readonly actor: string;
  readonly correlationId: string;
}

/** The result of an operation: the log position by which its effect is visible, or why it was not done. */
export type Operated<More = unknown> =
  ({ readonly done: true; readonly position: bigint } & More) | { readonly done: false; readonly problem: Problem };

type Refused = Extract<Operated, { done: false }>;

/** Dependencies of the operations. */
export interface OperationsDependencies {
  readonly origin: string;
  readonly log: EventLog;
  readonly outbox: Projector;
  readonly backlog: Outbox;
  readonly clock: Clock;
  readonly halted: () => HaltReason | undefined;
  readonly refusal: () => NotReplicated | undefined;
  /** Undefined while this core is not the one that replicates. */
  readonly replicator: () => Pick<Replicator, 'retry'> | undefined;
  /** Runs work with the replicator, also when it is halted; undefined when another core of the log replicates. */
  readonly withReplicator: <R>(
    work: (replicator: Pick<Replicator, 'beginLine' | 'writer'>) => Promise<R>,
  ) => Promise<R | undefined>;
  /** Makes a key for an epoch; undefined without the root key. */
  readonly newKey: (keyEpoch: number) => KeyRotated | undefined;
}

/**
 * What operators do about hosts and keys. Operations run one at a time, each on an outbox that shows those before it.
 */
export class Operations {
  readonly #dependencies: OperationsDependencies;
  readonly #queue = new KeyedQueue();

  constructor(dependencies: OperationsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Tries a host again immediately; a BLOCKED or FULL host becomes ACTIVE. */
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
   * Gives a host a state. RETIRED is permanent, and allowed only once the others have signed for everything at quorum:
   * what no other host keeps would be lost with this one, and without enough others no new event could reach a quorum.
   */
  async setHostState(id: string, state: SettableState, why: string, by: Author): Promise<Operated> {
    const problem = new Checks().text('why', why, 0, LIMITS.reasonLength).problem();
    if (problem !== undefined) return { done: false, problem };
    return this.#onHost(id, async (host, known) => {
      if (host.state === state) return { done: true, position: this.#dependencies.outbox.position };
      if (host.state === 'RETIRED')
        return hostState(
          host,
          `Host '${id}' is RETIRED permanently. Start it on an empty folder: it is then a new host.`,
        );
      if (state === 'RETIRED' && !isDispensable(id, known))
        return hostState(
          host,
          `Host '${id}' cannot be retired yet: without it, the other hosts of the policy do not have the weight it requires, or have not signed for all of events 1–${known.quorum}, or do not show yet that these are at quorum. Add hosts to OFFGRID_STORAGE_HOSTS, or wait until the others have caught up.`,
        );
      const position = await this.#record(this.#changed(host, state, why), by);
      if (state === 'ACTIVE') this.#dependencies.replicator()?.retry(id);
      return { done: true, position };
    });
  }

  /** Confirms a host's key, with a policy that marks it as confirmed and is otherwise the latest. */
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

  /** Begins a key epoch: later events are sealed with another key. */
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
   * Begins a line with this core's log, above every line that a host has shown: what was at quorum in older lines no
   * longer binds it, and the policies of permanently lost hosts end. A core that was halted continues.
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

  /** Clears the reason why this core was halted: it claims the hosts again, and its log is checked again. */
  resumeWriter(): Promise<Operated> {
    return this.#withReplicator(async ({ writer }) => {
      if (writer.halted === undefined) return refused('This core is not halted: there is nothing to resume.');
      await writer.resume();
      return {};
    });
  }

  /** Runs what only the core that replicates can do, whether it is halted or not. */
  #withReplicator<More extends object>(
    work: (replicator: Pick<Replicator, 'beginLine' | 'writer'>) => Promise<More | Refused>,
  ): Promise<Operated<More>> {
    const { origin, backlog, outbox, withReplicator } = this.#dependencies;
    return this.#queue.run(
      origin,
      async () => {
        if (!(await backlog.catchUp())) return refused(NOT_CAUGHT_UP);
        const refusal = this.#refused(await backlog.known());
        if (refusal !== undefined) return refusal;
        const more = await withReplicator(work);
        if (more === undefined)
          return refused(
            'Another core of this log replicates it, or replication has just begun here. Send the request to that core, or try again in a moment.',
          );
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

  /** Refuses a change where nothing is replicated. */
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
const NOT_CAUGHT_UP = 'The outbox has not caught up with the log, so the state of the hosts is not known. Try again.';

const REFUSALS: Readonly<Record<NotReplicated, string>> = {
  OTHER_ORIGIN:
    'Nothing is replicated: the log belongs to another origin than SHERATAN_ORIGIN. Set SHERATAN_ORIGIN to the origin of the log.',
  OTHER_ROOT_KEY:
    'Nothing is replicated: the log is sealed with another root key than the one in the keyring. Import the recovery key of the log: sheratan keys import.',
  KEYRING_MISSING:
    'This core replicates nothing: its keyring is missing, and the log is sealed with its key. Run `sheratan keys export` on the folder of a core that has it, and `sheratan keys import` on this one; then restart this core.',
};

/**
 * Whether everything at quorum remains at quorum without a host, and later events can still reach a quorum. The
 * remaining hosts must also show that the policy in force is at quorum: a restore from them would otherwise require the
 * hosts of the policy before it.
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
