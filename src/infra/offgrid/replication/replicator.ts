import type { MetHost, WantedPolicy } from '../../../domain/policy.js';
import { isServed, versionInForce, type PolicyHost } from '../../../domain/replication.js';
import type { HaltReason } from '../../../domain/writer.js';
import { toBase64, toHex } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Time } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { HostFailure, type HostClient } from '../protocol/host-client.js';
import { Sealer } from '../protocol/sealer.js';
import { type Acknowledged, Acknowledger } from './acknowledger.js';
import { BatchMaker } from './batch-maker.js';
import { EnvelopeCache } from './envelope-cache.js';
import { refusalOf, type Refusal } from './first-key.js';
import { HostLoop, type HostChange, type HostContact, type LoopDependencies } from './host-loop.js';
import { LocalHistory } from './local-history.js';
import { LocalTree } from './local-tree.js';
import { PolicyReconciler } from './policy-reconciler.js';
import type { FrontierCache, Journal } from './ports.js';
import type { Outbox, ReplicationState, WriterStore } from './replication-state.js';
import { StateCache } from './state-cache.js';
import { Writer } from './writer.js';

/** How often the progress of a slow tree is logged, in milliseconds. */
const SAY_EVERY_MS = 2_000;
/** Length of the random part of a writer's name, in bytes. */
const WRITER_BYTES = 8;

/** Dependencies of a replicator. */
export interface ReplicatorDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly logId: string;
  readonly wanted: WantedPolicy;
  /** The weight of hosts that may be dishonest. */
  readonly dishonestWeight: number;
  readonly outbox: Outbox;
  readonly journal: Journal;
  readonly store: WriterStore;
  readonly frontiers: FrontierCache;
  readonly time: Time;
  /** @param length in bytes */
  readonly randomBytes: (length: number) => Uint8Array;
  /** A client for any host at a URL, or for one host there; it gives up when the signal aborts. */
  readonly clientOf: (url: string, host: string | undefined, signal: AbortSignal) => HostClient;
  readonly logger: Logger;
  /** Called with the reason why this core must take no more commands; with undefined when it may again. */
  readonly onHalted: (reason: HaltReason | undefined) => void;
  /** Called with every acknowledgement that is recorded. */
  readonly onAcknowledged?: (acknowledged: Acknowledged) => void;
}

/** The parts of a replicator. */
interface Workings {
  readonly state: StateCache;
  readonly writer: Writer;
  readonly history: LocalHistory;
  readonly envelopes: EnvelopeCache;
  readonly tree: LocalTree;
}

/** Ships replicated events to the hosts of the policy until it is stopped, and records what they have signed for. */
export class Replicator {
  readonly #dependencies: ReplicatorDependencies;
  readonly #state: StateCache;
  readonly #writer: Writer;
  readonly #acknowledger: Acknowledger;
  readonly #policy: PolicyReconciler;
  readonly #ofLoops: LoopDependencies;
  readonly #loops = new Map<string, HostLoop>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<unknown>;
  #refusal: Refusal | undefined;

  private constructor(dependencies: ReplicatorDependencies, { state, writer, history, envelopes, tree }: Workings) {
    this.#dependencies = dependencies;
    this.#state = state;
    this.#writer = writer;
    const { origin, root, time, logger, wanted, clientOf } = dependencies;
    const { signal } = this.#stopping;
    const now = () => state.current;
    const changed = (ending: AbortSignal) => state.changed(ending);
    this.#acknowledger = new Acknowledger({
      ...{ origin, journal: state, writer, state: now, time, logger },
      onAcknowledged: (acknowledged) => dependencies.onAcknowledged?.(acknowledged),
    });
    const clients = new Map<string, HostClient>();
    const whoIsAt = (url: string) => {
      const client = clients.get(url) ?? clientOf(url, undefined, signal);
      clients.set(url, client);
      return metBy(client, origin);
    };
    this.#policy = new PolicyReconciler({
      ...{ origin, wanted, whoIsAt, journal: state, time, logger, known: now, changed },
      nextLine: () => nextLineOf(now()),
    });
    this.#ofLoops = {
      ...{ origin, root, writer, history, envelopes, time, logger, state: now, changed },
      batches: new BatchMaker({ origin, root, envelopes, tree, history, state: now, time }),
      clientOf: ({ url, host }, ending) => clientOf(url, host, ending),
      counted: (host, { signed }, shown) => {
        this.#acknowledger.counted(host, signed, shown);
      },
      changeState: (change) => this.#changeState(change),
    };
    this.#running = this.#run(signal);
  }

  /** Loads the state of the log and the writer's record, and starts. @throws Error when the record is damaged */
  static async start(dependencies: ReplicatorDependencies): Promise<Replicator> {
    const { origin, root, logId, outbox, journal, store, frontiers, time, randomBytes, logger } = dependencies;
    const state = await StateCache.open(outbox, journal);
    const now = () => state.current;
    const envelopes = new EnvelopeCache(outbox, new Sealer(root, origin), time, now);
    const tree = new LocalTree(envelopes, frontiers, progressOf(time, logger));
    const history = new LocalHistory(tree, outbox, now);
    const writer = await Writer.open(
      {
        ...{ origin, logId, store, journal: state, history, state: now, time, logger },
        latest: () => state.latest(),
        dishonestWeight: dependencies.dishonestWeight,
        newWriterId: () => toHex(randomBytes(WRITER_BYTES)),
      },
      state.current.head,
    );
    return new Replicator(dependencies, { state, writer, history, envelopes, tree });
  }

  /** Stops. Hosts still receive what is known, unless that takes too long. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  get writer(): Writer {
    return this.#writer;
  }

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** The contact with a host; undefined when there is none. */
  contactOf(host: string): HostContact | undefined {
    return this.#loops.get(host)?.contact;
  }

  /** Why a wanted URL does not count; undefined when no reason is known. */
  failureOf(url: string): string | undefined {
    return this.#policy.failureOf(url);
  }

  /** The host that answered at a wanted URL, if any. */
  metAt(url: string): MetHost | undefined {
    return this.#policy.metAt(url);
  }

  /** Waits until the contact with the hosts may have changed, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#state.changed(signal);
  }

  /** A caller waits for a quorum, until it calls the returned function. */
  hurry(): () => void {
    return this.#acknowledger.hurry();
  }

  /**
   * Begins a line with the local log, above every line that was shown: what was at quorum in older lines no longer
   * binds it, and the policies of permanently lost hosts end. Resolves the line's number; the next policy, which
   * follows, begins it.
   * @param record records the event; by default this process records it
   */
  async beginLine(record: (fact: Fact) => Promise<unknown> = (fact) => this.#state.record([fact])): Promise<number> {
    const { origin } = this.#dependencies;
    const { line: own, nextLine = own, head, policies, quorum } = await this.#state.latest();
    const line = nextLine > own ? nextLine : 1 + Math.max(own, this.#writer.sawLine, this.#writer.halted?.line ?? 0);
    const policyVersion = versionInForce(policies, quorum);
    const nothing = { policyVersion, writerEpoch: this.#writer.epoch, hosts: [], quorumSequence: 0, quorumEpoch: 0 };
    const elected = { line, epoch: 0, base: head };
    await record({ type: 'ReplicasAcknowledged', data: { origin, ...nothing, line: own, elected } });
    await this.#writer.resume();
    return line;
  }

  /** Tries a host again now. */
  retry(host: string): void {
    this.#loops.get(host)?.retry();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { root, origin, time, randomBytes, logger } = this.#dependencies;
    // Heads that arrive while the loops end are still recorded.
    const ending = new AbortController();
    const following = Promise.all([
      this.#state.follow(time, logger, ending.signal),
      this.#passOn(ending.signal),
      this.#followLine(ending.signal),
    ]);
    try {
      const [known, record] = [() => this.#state.current, (fact: Fact) => this.#state.record([fact])];
      this.#refusal = await refusalOf({ origin, root, known, record, time, randomBytes, logger }, signal);
      if (this.#refusal === undefined && !signal.aborted) {
        const acknowledging = this.#acknowledger.run(ending.signal);
        await Promise.all([this.#policy.run(signal), this.#writer.run(signal), this.#keepLoops(signal)]);
        ending.abort();
        await acknowledging;
      }
    } catch (error) {
      logger.fatal({ err: error }, 'replication has ended');
    }
    // The state of a log that is not replicated is still kept up to date.
    if (!signal.aborted)
      await new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          resolve();
        }),
      );
    ending.abort();
    await following;
  }

  /** Reports changes of the writer to all who wait for the state. */
  async #passOn(signal: AbortSignal): Promise<void> {
    const { logger, onHalted } = this.#dependencies;
    let logged: HaltReason | undefined;
    while (!signal.aborted) {
      const changed = this.#writer.changed(signal);
      const { halted } = this.#writer;
      if (halted !== logged) {
        if (halted === undefined) logger.info('this core takes commands again');
        else logger.fatal(halted, 'this core takes no more commands');
        onHalted(halted);
      }
      logged = halted;
      this.#state.notify();
      await changed;
    }
  }

  /** Applies immediately what the log records of its line and of hosts that are not served. */
  async #followLine(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const changed = this.#state.changed(signal);
      const { current } = this.#state;
      await this.#writer.ofLine(current);
      for (const { host, state } of current.hosts.values()) {
        if (isServed(state)) continue;
        this.#acknowledger.forget(host);
        this.#writer.forget(host);
        if (state === 'SUSPENDED') this.#loops.get(host)?.forget();
      }
      await changed;
    }
  }

  /** One loop for each host of the policies in play. */
  async #keepLoops(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const hosts = new Map<string, PolicyHost>();
      const { policies } = this.#state.current;
      for (const { policy } of policies) for (const host of policy.hosts) hosts.set(host.host, host);
      for (const [id, loop] of this.#loops) {
        if (hosts.get(id)?.url === loop.host.url) continue;
        this.#loops.delete(id);
        await loop.stop();
      }
      for (const [id, host] of hosts) {
        if (!this.#loops.has(id)) this.#loops.set(id, new HostLoop(host, this.#ofLoops));
      }
      if (this.#state.current.policies === policies) await this.#state.changed(signal);
    }
    // The last tree that hosts receive must show the quorum known by now.
    await this.#acknowledger.flush();
    await Promise.all([...this.#loops.values()].map((loop) => loop.stop()));
  }

  async #changeState(change: HostChange): Promise<void> {
    const { origin } = this.#dependencies;
    if (change.state === 'SUSPENDED') this.#acknowledger.forget(change.host);
    await this.#state.record([{ type: 'HostStateChanged', data: { origin, ...change } }]);
  }
}

type Fact = Parameters<Journal['record']>[0][number];

/**
 * The line that the next policy begins: one that must be begun, or the next one of a log that protocol 1 replicated.
 * The hosts of such a log are gone, and so is what they signed for; in its line, their policy would remain in play
 * forever.
 */
function nextLineOf({ nextLine, quorum, quorumEpoch, line }: ReplicationState) {
  if (nextLine !== undefined) return { line: nextLine, isDue: true };
  return quorum > 0 && quorumEpoch === 0 ? { line: line + 1, isDue: false } : undefined;
}

/** Logs the progress of a tree that takes longer than two seconds: the tree of a long log is computed once. */
function progressOf(time: Pick<Time, 'now'>, logger: Logger): (size: number, of: number) => void {
  let since: number | undefined;
  return (size, of) => {
    const now = time.now().getTime();
    since ??= now;
    if (now - since >= SAY_EVERY_MS) {
      logger.info(`computing the Merkle tree of this log: ${size} of ${of} events`);
      since = now;
    }
    if (size === of) since = undefined;
  };
}

/**
 * The host that answers, as a policy names it. Any server can state that it is a host: only one that knows
 * OFFGRID_AUTH_KEY can answer the second request, even with a refusal.
 * @throws HostFailure
 */
async function metBy(client: HostClient, origin: string): Promise<MetHost> {
  const { host, verifyKey } = await client.keys();
  try {
    await client.head(origin);
  } catch (error) {
    if (!(error instanceof HostFailure) || error.refusal === undefined) throw error;
  }
  return { host, verifyKey: toBase64(verifyKey) };
}
