import pLimit from 'p-limit';
import type { KeyRotated } from '../../../domain/keyring.js';
import type { HostState, PolicyHost } from '../../../domain/replication.js';
import type { MetHost, WantedPolicy } from '../../../domain/policy.js';
import { open, keyIdOf } from '../../crypto/envelope.js';
import { toHex } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Logger } from '../../logger.js';
import { Nudge } from '../../nudge.js';
import { Acknowledger, type Acknowledged } from './acknowledger.js';
import { Election } from './election.js';
import { refusalOf, type Refusal } from './first-key.js';
import { HostLoop, type HostContact, type LoopGround } from './host-loop.js';
import type { HostPort } from './host-port.js';
import { OwnTree } from './own-tree.js';
import { PolicyKeeper } from './policy-keeper.js';
import type { Backlog, FrontierCache, Journal, Known, Stop, Time, WriterStore } from './ports.js';
import { Sealer } from './sealer.js';
import { SealedWindow } from './sealed-window.js';

/** How long the log is left when it cannot be read or written, in milliseconds. */
const RETRY_MS = 1_000;

/** What a replicator is made of. */
export interface ReplicatorParts {
  readonly origin: string;
  readonly root: RootKey;
  readonly logId: string;
  readonly wanted: WantedPolicy;
  readonly backlog: Backlog;
  readonly journal: Journal;
  readonly writer: WriterStore;
  readonly frontiers: FrontierCache;
  readonly time: Time;
  /** @param length in bytes */
  readonly randomBytes: (length: number) => Uint8Array;
  readonly portOf: (url: string, host?: string) => HostPort;
  readonly logger: Logger;
  /** Is told once, when this core must take no more commands. */
  readonly onStopped: (stop: Stop) => void;
  /** Is told of every acknowledgement that is recorded. */
  readonly onAcknowledged?: (acknowledged: Acknowledged) => void;
}

/** Ships what travels to the hosts of the policy until it is told to stop, and records what they sign for. */
export class Replicator {
  readonly #parts: ReplicatorParts;
  readonly #election: Election;
  readonly #acknowledger: Acknowledger;
  readonly #policy: PolicyKeeper;
  readonly #ground: LoopGround;
  readonly #loops = new Map<string, HostLoop>();
  readonly #changed = new Nudge();
  readonly #stopping = new AbortController();
  /** One reading at a time, so that none that began earlier ends later. */
  readonly #learning = pLimit(1);
  #known: Known;
  #refusal: Refusal | undefined;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(parts: ReplicatorParts, election: Election, known: Known) {
    const { origin, root, backlog, time, logger, frontiers, portOf, wanted } = parts;
    this.#parts = parts;
    this.#election = election;
    this.#known = known;
    const now = () => this.#known;
    const changed = (signal: AbortSignal) => this.#changed.wait(signal);
    const journal: Journal = { record: (facts) => this.#record(facts) };
    this.#acknowledger = new Acknowledger({
      origin,
      journal,
      time,
      logger,
      known: now,
      epoch: () => election.epoch,
      onAcknowledged: (acknowledged) => parts.onAcknowledged?.(acknowledged),
    });
    this.#policy = new PolicyKeeper({ origin, wanted, portOf, journal, time, logger, known: now, changed });
    const sealer = new Sealer(root, origin);
    const window = new SealedWindow(backlog, sealer, time, now);
    this.#ground = {
      origin,
      root,
      election,
      window,
      tree: new OwnTree(window, frontiers),
      time,
      logger,
      newChallenge: () => toHex(parts.randomBytes(16)),
      policies: () => this.#known.policies,
      last: () => this.#known.head,
      isOwn: (event) => Promise.resolve(this.#isOwn(sealer, event)),
      changed,
      reached: (host, head) => this.#acknowledger.reached(host, head),
      known: (host) => this.#known.hosts.get(host),
      changeState: (host, state, sequence, why) => this.#changeState(host, state, sequence, why),
    };
  }

  /** Takes up what the log and the writer's record say, and begins. */
  static async start(parts: ReplicatorParts): Promise<Replicator> {
    const newWriterId = () => toHex(parts.randomBytes(8));
    const election = await Election.open(parts.writer, parts.logId, newWriterId);
    const replicator = new Replicator(parts, election, await parts.backlog.known());
    if (election.stopped !== undefined) parts.onStopped(election.stopped);
    replicator.#running = replicator.#run(replicator.#stopping.signal);
    return replicator;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  get stopped(): Stop | undefined {
    return this.#election.stopped;
  }

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  get epoch(): number {
    return this.#election.epoch;
  }

  /** How a host is got on with. */
  contactOf(host: string): HostContact | undefined {
    return this.#loops.get(host)?.contact;
  }

  /** Why a wanted URL counts for nothing, if it does. */
  troubleOf(url: string): string | undefined {
    return this.#policy.troubleOf(url);
  }

  /** Who answered at a wanted URL, if somebody did. */
  metAt(url: string): MetHost | undefined {
    return this.#policy.metAt(url);
  }

  /** Waits until how the hosts are got on with may have changed, or the signal. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Somebody waits for a quorum, until they call what is returned. */
  hurry(): () => void {
    return this.#acknowledger.hurry();
  }

  /** Tries a host again now. */
  retry(host: string): void {
    this.#loops.get(host)?.retry();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const following = this.#follow(signal);
    try {
      const { known, record } = { known: () => this.#known, record: (fact: KeyRotated) => this.#record([fact]) };
      this.#refusal = await refusalOf({ ...this.#parts, known, record }, signal);
      if (this.#refusal === undefined && !signal.aborted) {
        await Promise.all([this.#policy.run(signal), this.#acknowledger.run(signal), this.#keepLoops(signal)]);
      }
    } catch (error) {
      this.#parts.logger.fatal({ err: error }, 'replication has ended');
    }
    await following;
  }

  /** Keeps up with what the log says. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { backlog, time, logger } = this.#parts;
    const election = this.#passOn(signal);
    while (!signal.aborted) {
      const changed = backlog.changed(signal);
      try {
        await this.#learn();
        await changed;
      } catch (error) {
        logger.error({ err: error }, 'the outbox cannot be read; trying again');
        await time.sleep(RETRY_MS, signal);
      }
    }
    this.#changed.notify();
    await election;
  }

  /** What the election comes to is news for everyone who waits. */
  async #passOn(signal: AbortSignal): Promise<void> {
    let wasStopped = this.#election.stopped !== undefined;
    while (!signal.aborted) {
      await this.#election.changed(signal);
      const { stopped } = this.#election;
      if (stopped !== undefined && !wasStopped) {
        wasStopped = true;
        this.#parts.logger.fatal(stopped, 'this core takes no more commands');
        this.#parts.onStopped(stopped);
      }
      this.#changed.notify();
    }
  }

  /** One loop for each host of the policies, of those to come as well. */
  async #keepLoops(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const hosts = new Map<string, PolicyHost>();
      const { policies } = this.#known;
      for (const { policy } of policies) for (const host of policy.hosts) hosts.set(host.host, host);
      for (const [id, loop] of this.#loops) {
        if (hosts.get(id)?.url === loop.host.url) continue;
        this.#loops.delete(id);
        await loop.stop();
      }
      for (const [id, host] of hosts) {
        if (this.#loops.has(id)) continue;
        this.#loops.set(id, new HostLoop(host, this.#parts.portOf(host.url, host.host), this.#ground));
      }
      if (this.#known.policies === policies) await this.#changed.wait(signal);
    }
    await Promise.all([...this.#loops.values()].map((loop) => loop.stop()));
  }

  async #changeState(host: string, state: HostState, sequence: number, why: string): Promise<void> {
    const { origin } = this.#parts;
    if (state === 'SUSPENDED') this.#acknowledger.forget(host);
    await this.#record([{ type: 'HostStateChanged', data: { origin, host, state, sequence, why } }]);
  }

  /** What is recorded is known here when this returns: the next conclusion is drawn from it. */
  async #record(facts: Parameters<Journal['record']>[0]): Promise<void> {
    await this.#parts.journal.record(facts);
    await this.#learn();
  }

  #learn(): Promise<void> {
    return this.#learning(async () => {
      this.#known = await this.#parts.backlog.known();
      this.#changed.notify();
    });
  }

  #isOwn(sealer: Sealer, event: { sequence: number; etype: number; ts: number; sealed: Uint8Array }): boolean {
    const { origin, root } = this.#parts;
    const { sequence, etype, ts: at, sealed } = event;
    try {
      const id = toHex(keyIdOf(sealed));
      const known = this.#known.keys.find(({ keyId }) => keyId === id);
      const key = known === undefined ? root.firstDataKey : sealer.keyOf(known);
      open(key, { origin, sequence, etype, at }, sealed);
      return true;
    } catch {
      return false;
    }
  }
}
