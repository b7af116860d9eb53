import { backoffMs, MAX_BACKOFF_MS } from '../../../domain/backoff.js';
import { isServed, type HostProof, type HostState, type PolicyHost } from '../../../domain/replication.js';
import { fromBase64 } from '../../crypto/bytes.js';
import { firstOf } from '../../platform/linked-signal.js';
import type { Logger } from '../../platform/logger.js';
import { Nudge } from '../../platform/nudge.js';
import { openClaim } from '../protocol/claim.js';
import { HostFailure, type HostClient } from '../protocol/host-client.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { Refusal } from '../protocol/refusal.js';
import { FIRST_BYTES, sizeAfterTimeout } from '../protocol/transfer-size.js';
import { openTree, type Tree } from '../protocol/tree.js';
import { DishonestHostError, type Expected, type GoodHead } from '../protocol/verify-head.js';
import { isVerifyKey, verifyKeyOf, type VerifyKey } from '../protocol/verify-key.js';
import { HostCare, type CareDependencies } from './host-care.js';
import { type HostMemory, HostSession, type SessionDependencies, ShipError } from './host-session.js';
import type { HostRecord } from './replication-state.js';
import { signedTextOf, signedThingOf } from './signed-text.js';

/** How long a host that refuses an event, or has another key pinned, is left alone, in milliseconds. */
const BLOCKED_MS = 600_000;
/** How long requests in progress may take once the loop is stopped, in milliseconds. */
const STOP_MS = 2_000;

/** This core's contact with a host, beside what the log knows. */
export interface HostContact {
  /** Whether the last attempt succeeded. */
  readonly isReached: boolean;
  readonly failures: number;
  readonly lastError: string | undefined;
  /** The head that it has shown last. */
  readonly head: GoodHead | undefined;
  /** How often it has returned another event than the one it signed for, or none. */
  readonly failedAudits: number;
}

/** Dependencies of a loop. */
export interface LoopDependencies extends SessionDependencies, Omit<CareDependencies, 'host' | 'isServed' | 'state'> {
  /** A client that gives up when the signal aborts. */
  readonly clientOf: (host: PolicyHost, signal: AbortSignal) => HostClient;
  /** Called when a head of a host counts. */
  readonly counted: (host: string, head: GoodHead, tree: Tree) => void;
  /** Records another state, and resolves once it is known. */
  readonly changeState: (host: HostChange) => Promise<void>;
  readonly logger: Logger;
}

/** A change of a host's state. */
export interface HostChange {
  readonly host: string;
  readonly state: HostState;
  readonly sequence: number;
  readonly why: string;
  readonly proof?: HostProof;
}

/**
 * Keeps one host supplied. It holds sessions, one after the other; after a failure it leaves the host alone for a while
 * that grows. A host that refuses an event, or has another key pinned (BLOCKED), is tried again every ten minutes; one
 * without space (FULL) every minute; one that has proven itself dishonest (SUSPENDED) waits for an operator. No loop
 * delays another host.
 */
export class HostLoop {
  readonly host: PolicyHost;
  readonly #dependencies: LoopDependencies;
  readonly #stopping = new AbortController();
  readonly #givingUp = new AbortController();
  readonly #nudged = new Nudge();
  readonly #client: HostClient;
  readonly #memory: HostMemory;
  readonly #care: HostCare;
  readonly #running: Promise<unknown>;
  #failures = 0;
  #isReached = false;
  #lastError: string | undefined;
  #head: GoodHead | undefined;
  /** Whether the host is tried although it is BLOCKED. */
  #isTrial = false;
  /** Whether the host is to be tried regardless of earlier failures. */
  #isWanted = false;

  constructor(host: PolicyHost, dependencies: LoopDependencies) {
    this.host = host;
    this.#dependencies = dependencies;
    this.#client = dependencies.clientOf(host, this.#givingUp.signal);
    this.#memory = {
      maxBytes: FIRST_BYTES,
      counted: countedOf(this.#record()),
      granted: 0,
      isMisleading: false,
    };
    const isOpen = () => this.#isServed();
    this.#care = new HostCare(this.#client, { ...dependencies, host: host.host, isServed: isOpen });
    const { signal } = this.#stopping;
    this.#running = Promise.all([this.#run(signal), this.#care.run(signal)]);
  }

  get contact(): HostContact {
    const [isReached, failures, lastError, head] = [this.#isReached, this.#failures, this.#lastError, this.#head];
    return { isReached, failures, lastError, head, failedAudits: this.#care.failedAudits };
  }

  /** What the host signed for before no longer counts: it is reinstated with what it then shows. */
  forget(): void {
    this.#memory.counted = undefined;
  }

  /** Tries again now, even while an attempt that is about to fail is in progress. */
  retry(): void {
    this.#failures = 0;
    this.#isWanted = true;
    this.#nudged.notify();
  }

  /** Stops. The host still receives what is known, unless that takes too long. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const ended = new AbortController();
    const givenUp = this.#dependencies.time.sleep(STOP_MS, ended.signal).then(() => {
      this.#givingUp.abort();
    });
    await this.#running;
    ended.abort();
    await givenUp;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { writer, changed, state } = this.#dependencies;
    while (!signal.aborted) {
      const isOpen = this.#isServed();
      // An epoch of another line than the log's is about to end.
      const isOfLine = writer.line === state().line;
      if (writer.epoch !== 0 && writer.halted === undefined && isOfLine && isOpen) {
        await this.#try(signal);
        continue;
      }
      this.#isReached &&= isOpen;
      if (isOpen || this.#state() !== 'BLOCKED') await changed(signal);
      else this.#isTrial = await this.#pause(BLOCKED_MS, signal);
    }
  }

  #isServed(): boolean {
    const state = this.#state();
    return isServed(state) || (state === 'BLOCKED' && this.#isTrial);
  }

  async #try(signal: AbortSignal): Promise<void> {
    const { time, writer } = this.#dependencies;
    const { epoch } = writer;
    let waitMs: number;
    this.#isWanted = false;
    try {
      await this.#session(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      waitMs = await this.#respond(error, epoch).catch((failure: unknown) => this.#fail(failure));
    }
    if (waitMs > 0) await this.#pause(waitMs, signal);
    else await time.turn();
  }

  /**
   * Waits until the time is over, the epoch or the state of the host changes, or an operator wants it tried now. Resolves
   * false when the signal, the epoch or the state ended the wait.
   */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    const { time, writer, changed } = this.#dependencies;
    if (this.#isWanted) return !signal.aborted;
    const [epoch, state] = [writer.epoch, this.#state()];
    return firstOf(signal, (waiting) => {
      const isOther = async () => {
        while (!waiting.aborted && writer.epoch === epoch && this.#state() === state) await changed(waiting);
        return false;
      };
      const isOver = [time.sleep(ms, waiting), this.#nudged.wait(waiting)];
      return [isOther(), ...isOver.map((one) => one.then(() => !signal.aborted))];
    });
  }

  async #session(signal: AbortSignal): Promise<void> {
    const dependencies = this.#dependencies;
    const { host } = this.host;
    const session = new HostSession(this.#expected(), this.#client, dependencies, this.#memory, {
      isServed: () => this.#isServed(),
      onHead: (head) => {
        this.#isReached = true;
        this.#head = head;
        this.#care.seen(head);
      },
      onCounted: (head, tree) => {
        dependencies.counted(host, head, tree);
      },
      // A claim is easily granted: only what the host then takes shows that nothing is wrong any more.
      onSupplied: () => this.#supplied(),
    });
    await session.run(signal);
  }

  async #supplied(): Promise<void> {
    this.#failures = 0;
    this.#isReached = true;
    this.#lastError = undefined;
    this.#isTrial = false;
    const state = this.#state();
    if (state === 'FULL' || state === 'BLOCKED')
      await this.#change('ACTIVE', this.#record()?.sequence ?? 0, 'It takes events again.');
  }

  #expected(): Expected {
    const { origin, root } = this.#dependencies;
    const { host, verifyKey } = this.host;
    return { host, hostKey: keyOf(verifyKey), origin, originKey: verifyKeyOf(root.verifyKey) };
  }

  /** Decides what a failure means. Returns how long to leave the host alone, in milliseconds. */
  async #respond(error: unknown, epoch: number): Promise<number> {
    if (error instanceof DishonestHostError) return this.#accuse(error);
    const { cause, batch } = error instanceof ShipError ? error : { cause: error, batch: undefined };
    const { writer } = this.#dependencies;
    const { host } = this.host;
    if (!(cause instanceof HostFailure)) {
      await writer.failed(host, epoch, false);
      return this.#fail(error);
    }
    const memory = this.#memory;
    const { refusal } = cause;
    const first = (batch?.statement.value.sequence ?? 0) - (batch?.count ?? 0) + 1;
    if (refusal !== undefined && (await this.#hears(refusal, epoch))) return 0;
    switch (cause.code) {
      case 'FULL':
        await this.#change('FULL', first - 1, cause.message);
        await writer.failed(host, epoch, false);
        this.#fail(cause);
        return MAX_BACKOFF_MS;
      case 'TIMEOUT':
        memory.maxBytes = sizeAfterTimeout(memory.maxBytes);
        break;
      case 'TOO_LARGE':
      case 'BAD_REQUEST':
        if (batch === undefined || batch.count === 0) break;
        if (batch.count > 1) {
          memory.maxBytes = Math.floor(batch.body.byteLength / 2);
          return 0;
        }
        await this.#change('BLOCKED', first - 1, `It refuses event ${first}: ${cause.message}`);
        return this.#fail(cause);
      case 'NOT_SIGNED':
        await this.#change('BLOCKED', this.#record()?.sequence ?? 0, pinned(this.#dependencies.origin, cause));
        await writer.failed(host, epoch, true);
        return this.#fail(cause);
      case 'NOT_CLAIMED':
      case 'FENCED':
        memory.granted = 0;
        writer.forget(host);
        break;
      case 'OTHER':
        memory.isMisleading = true;
        break;
      default:
    }
    await writer.failed(host, epoch, cause.code === 'FENCED');
    return this.#fail(cause, refusal?.code === 'BUSY' ? refusal.wait * 1_000 : 0);
  }

  /** Whether a refusal shows what ends the epoch. Content that the origin has not signed has no effect. */
  async #hears(refusal: Refusal, epoch: number): Promise<boolean> {
    const { writer, origin } = this.#dependencies;
    const { host, originKey } = this.#expected();
    try {
      if (refusal.code === 'FENCED') {
        const { value } = openClaim(refusal.claim, originKey);
        return value.host === host && value.origin === origin && (await writer.fenced(epoch, value));
      }
      if (!('tree' in refusal)) return false;
      const { value } = openTree(refusal.tree, originKey);
      if (value.origin === origin) await writer.refused(host, epoch, value);
      return writer.epoch !== epoch || writer.halted !== undefined;
    } catch (error) {
      if (error instanceof ProtocolError) return false;
      throw error;
    }
  }

  /**
   * Counts a failure. Returns how long to leave the host alone, in milliseconds.
   * @param askedMs the wait that the host asked for
   */
  #fail(error: unknown, askedMs = 0): number {
    const { logger, time } = this.#dependencies;
    const message = error instanceof Error ? error.message : String(error);
    this.#failures += 1;
    this.#isReached = false;
    this.#isTrial = false;
    if (this.#lastError !== message) {
      const level = error instanceof HostFailure || error instanceof ShipError ? 'warn' : 'error';
      logger[level]({ host: this.host.url, ...(level === 'error' ? { err: error } : {}) }, message);
    }
    this.#lastError = message;
    return Math.max(askedMs, backoffMs(this.#failures, time.random()));
  }

  async #accuse({ kind, message, head, against }: DishonestHostError): Promise<number> {
    const { host, url } = this.host;
    const { logger, writer } = this.#dependencies;
    this.#lastError = message;
    this.#isReached = false;
    writer.forget(host);
    logger.error({ host: url }, `host ${host} is suspended: ${message}`);
    const proof = { kind, head: signedTextOf(head), against: against === undefined ? null : signedTextOf(against) };
    await this.#change('SUSPENDED', this.#record()?.sequence ?? 0, message, proof);
    return 0;
  }

  /** Records another state, unless it is known, or the host has been set aside meanwhile. */
  async #change(state: HostState, sequence: number, why: string, proof?: HostProof): Promise<void> {
    const { host } = this.host;
    const known = this.#state();
    if (known === 'RETIRED' || known === 'SUSPENDED' || (known === state && this.#record()?.why === why)) return;
    await this.#dependencies.changeState({
      ...{ host, state, sequence, why },
      ...(proof === undefined ? {} : { proof }),
    });
  }

  #record(): HostRecord | undefined {
    return this.#dependencies.state().hosts.get(this.host.host);
  }

  #state(): HostState {
    return this.#record()?.state ?? 'ACTIVE';
  }
}

function pinned(origin: string, { message }: HostFailure): string {
  return `It has pinned another key for '${origin}', of the core that claimed the name there first. If there is no such core, stop the host and remove the key there: sheratan host reset-key --origin ${origin}. (${message})`;
}

/** @throws HostFailure NONSENSE when the verify key in the policy is not valid */
function keyOf(verifyKey: string): VerifyKey {
  const key = fromBase64(verifyKey);
  if (!isVerifyKey(key)) throw new HostFailure('NONSENSE', 'The verify key in the policy is not valid.');
  return key;
}

function countedOf(record: HostRecord | undefined): HostMemory['counted'] {
  if (record?.head === undefined || record.head === null) return undefined;
  const { line, epoch, signed } = record.head;
  return { line, epoch, sequence: record.sequence, signed: signedThingOf('head', signed) };
}
