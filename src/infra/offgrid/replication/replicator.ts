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

/** How often it is said how far a tree is that takes long, in milliseconds. */
const SAY_EVERY_MS = 2_000;
/** Bytes of the name of a writer. */
const WRITER_BYTES = 8;

/** What a replicator is made of. */
export interface ReplicatorDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly logId: string;
  readonly wanted: WantedPolicy;
  /** The weight of hosts that may lie. */
  readonly dishonestWeight: number;
  readonly outbox: Outbox;
  readonly journal: Journal;
  readonly store: WriterStore;
  readonly frontiers: FrontierCache;
  readonly time: Time;
  /** @param length in bytes */
  readonly randomBytes: (length: number) => Uint8Array;
  /** A client of whoever is at a URL, or of one host there; it gives up with the signal. */
  readonly clientOf: (url: string, host: string | undefined, signal: AbortSignal) => HostClient;
  readonly logger: Logger;
  /** Is told why this core must take no more commands; undefined: it may again. */
  readonly onHalted: (reason: HaltReason | undefined) => void;
  /** Is told of every acknowledgement that is recorded. */
  readonly onAcknowledged?: (acknowledged: Acknowledged) => void;
}

/** What it works with. */
interface Workings {
  readonly state: StateCache;
  readonly writer: Writer;
  readonly history: LocalHistory;
  readonly envelopes: EnvelopeCache;
  readonly tree: LocalTree;
}

/** Ships replicated events to the hosts of the policy until it is told to stop, and records what they have signed for. */
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

  /** Takes up what the log and the writer's record say, and begins. @throws Error when the record is damaged */
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

  /** Hosts are told what is known, unless that takes too long. */
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

  /** How a host is got on with. */
  contactOf(host: string): HostContact | undefined {
    return this.#loops.get(host)?.contact;
  }

  /** Why a wanted URL counts for nothing, if it does. */
  failureOf(url: string): string | undefined {
    return this.#policy.failureOf(url);
  }

  /** Who answered at a wanted URL, if somebody did. */
  metAt(url: string): MetHost | undefined {
    return this.#policy.metAt(url);
  }

  /** Waits until how the hosts are got on with may have changed, or the signal. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#state.changed(signal);
  }

  /** Somebody waits for a quorum, until they call what is returned. */
  hurry(): () => void {
    return this.#acknowledger.hurry();
  }

  /**
   * Begins a line with the own log, above every line that was shown: what older lines had at quorum binds it no more, and the
   * policies of hosts that are lost for good end. Resolves its number; the next policy, which follows, begins it.
   * @param record of the event that says so; by this process unless given
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
    // What arrives while the loops end is still recorded.
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
    // A log that is not replicated is still known.
    if (!signal.aborted)
      await new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          resolve();
        }),
      );
    ending.abort();
    await following;
  }

  /** What becomes of the writer is news for everyone who waits. */
  async #passOn(signal: AbortSignal): Promise<void> {
    const { logger, onHalted } = this.#dependencies;
    let told: HaltReason | undefined;
    while (!signal.aborted) {
      const changed = this.#writer.changed(signal);
      const { halted } = this.#writer;
      if (halted !== told) {
        if (halted === undefined) logger.info('this core takes commands again');
        else logger.fatal(halted, 'this core takes no more commands');
        onHalted(halted);
      }
      told = halted;
      this.#state.notify();
      await changed;
    }
  }

  /** What the log says of its line, and of hosts that are set aside, holds at once. */
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

  /** One loop for each host of the policies, of those to come as well. */
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
    // What hosts are told last is what is known by now.
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
 * The line that the next policy begins: one that is to be begun; or that of a log which protocol 1 replicated. Its hosts have
 * gone, and with them what they had signed for; in its line, their policy would be in play for ever.
 */
function nextLineOf({ nextLine, quorum, quorumEpoch, line }: ReplicationState) {
  if (nextLine !== undefined) return { line: nextLine, isDue: true };
  return quorum > 0 && quorumEpoch === 0 ? { line: line + 1, isDue: false } : undefined;
}

/** Says how far a tree is that takes longer than two seconds: that of a long log is worked out once. */
function progressOf(time: Pick<Time, 'now'>, logger: Logger): (size: number, of: number) => void {
  let since: number | undefined;
  return (size, of) => {
    const now = time.now().getTime();
    since ??= now;
    if (now - since >= SAY_EVERY_MS) {
      logger.info(`working out the roots of the own events: ${size} of ${of}`);
      since = now;
    }
    if (size === of) since = undefined;
  };
}

/**
 * Who answers, as a policy names him. Anybody may say that he is a host: only who knows OFFGRID_AUTH_KEY answers the second
 * question, whatever it is.
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
