import { backoffMs, MAX_BACKOFF_MS } from '../../../domain/backoff.js';
import { isServed, type HostState, type PolicyHost } from '../../../domain/replication.js';
import type { Logger } from '../../logger.js';
import { Nudge } from '../../nudge.js';
import { MAX_BATCH_BYTES } from '../wire/batch.js';
import { isClaimSigned } from '../wire/claim.js';
import { HostError, type HostPort } from './host-port.js';
import { HostSession, ShipError, type SessionGround } from './host-session.js';
import { Lie } from './lie.js';

/** The least that a batch may be cut down to, in bytes: one small event. */
const MIN_BATCH_BYTES = 1_024;
/** A lie is believed to be one when it is told twice in a row. */
const LIES = 2;

/** What becomes of a host, beside what the log knows. */
export interface HostContact {
  /** Whether the last thing that was tried with it came to something. */
  readonly isReached: boolean;
  readonly failures: number;
  readonly lastError: string | undefined;
}

/** What a loop tells of its host. */
export interface LoopGround extends SessionGround {
  /** Records another state, and resolves once it is known. */
  readonly changeState: (host: string, state: HostState, sequence: number, why: string) => Promise<void>;
  readonly logger: Logger;
}

/**
 * Keeps one host supplied. It holds sessions, one after the other; after a failure it leaves the host alone for a while
 * that grows, and then begins with a claim, which is small: that is the breaker. A host that refuses an event stands
 * still there (BLOCKED) until it is told to try again; one without room (FULL) is tried now and then, and is ACTIVE again
 * when it takes something; one that lied (SUSPENDED) waits for an operator. Nothing here holds up another host.
 */
export class HostLoop {
  readonly host: PolicyHost;
  readonly #port: HostPort;
  readonly #ground: LoopGround;
  readonly #stopping = new AbortController();
  readonly #nudged = new Nudge();
  readonly #running: Promise<void>;
  #maxBytes: number | undefined;
  #failures = 0;
  #lies = 0;
  #isReached = false;
  #lastError: string | undefined;

  constructor(host: PolicyHost, port: HostPort, ground: LoopGround) {
    this.host = host;
    this.#port = port;
    this.#ground = ground;
    this.#running = this.#run(this.#stopping.signal);
  }

  get contact(): HostContact {
    return { isReached: this.#isReached, failures: this.#failures, lastError: this.#lastError };
  }

  /** Tries again now. */
  retry(): void {
    this.#failures = 0;
    this.#nudged.notify();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { election, changed, time } = this.#ground;
    while (!signal.aborted && election.stopped === undefined) {
      if (!isServed(this.#state())) {
        this.#isReached = false;
        await changed(signal);
        continue;
      }
      let waitMs: number;
      try {
        await this.#session(signal);
        continue;
      } catch (error) {
        if (signal.aborted) return;
        waitMs = await this.#judge(error).catch((failure: unknown) => this.#fail(failure));
      }
      // Another epoch, say, is a reason to try at once; so is being told to.
      const waiting = new AbortController();
      const both = AbortSignal.any([signal, waiting.signal]);
      if (waitMs > 0) await Promise.race([time.sleep(waitMs, both), this.#nudged.wait(both)]);
      else await time.turn();
      waiting.abort();
    }
  }

  async #session(signal: AbortSignal): Promise<void> {
    const session = new HostSession(this.host, this.#port, this.#ground);
    if (this.#maxBytes !== undefined) session.maxBytes = this.#maxBytes;
    const { known, changeState } = this.#ground;
    const { host } = this.host;
    const onMet = () => {
      this.#isReached = true;
    };
    // A claim is easily granted: only what it then takes shows that nothing is wrong any more.
    const onSupplied = async () => {
      this.#failures = 0;
      this.#lies = 0;
      this.#isReached = true;
      this.#lastError = undefined;
      if (this.#state() === 'FULL') await changeState(host, 'ACTIVE', known(host)?.sequence ?? 0, 'It has room again.');
    };
    try {
      await session.run(known(host)?.sequence ?? 0, { onMet, onSupplied }, signal);
    } finally {
      this.#maxBytes = session.maxBytes;
    }
  }

  /** What a failure means. Returns how long to leave the host alone, in milliseconds. */
  async #judge(error: unknown): Promise<number> {
    if (error instanceof Lie) return this.#accuse(error);
    const { cause, events, bytes } = error instanceof ShipError ? error : { cause: error, events: undefined, bytes: 0 };
    if (!(cause instanceof HostError)) return this.#fail(error);
    const { changeState } = this.#ground;
    const { host } = this.host;
    const first = events?.[0]?.sequence;
    switch (cause.code) {
      case 'FENCED':
        return this.#fenced(cause);
      case 'FULL':
        this.#fail(cause);
        if (this.#state() !== 'FULL') await changeState(host, 'FULL', (first ?? 1) - 1, cause.message);
        return MAX_BACKOFF_MS;
      case 'TIMEOUT':
        this.#maxBytes = Math.max(MIN_BATCH_BYTES, Math.floor((this.#maxBytes ?? MAX_BATCH_BYTES) / 4));
        return this.#fail(cause);
      case 'TOO_LARGE':
      case 'BAD_REQUEST':
        if (first === undefined || events === undefined) return this.#fail(cause);
        if (events.length > 1) {
          this.#maxBytes = Math.floor(bytes / 2);
          return 0;
        }
        this.#fail(cause);
        await changeState(host, 'BLOCKED', first - 1, `It refuses event ${first}: ${cause.message}`);
        return 0;
      case 'NOT_SIGNED':
        this.#fail(cause);
        await changeState(host, 'BLOCKED', 0, cause.message);
        return 0;
      case 'GAP':
      case 'NOT_CLAIMED':
        // It has lost something, or another session of ours has passed it by: it is met anew.
        this.#failures += 1;
        return this.#failures > 1 ? this.#fail(cause) : 0;
      default:
        return this.#fail(cause);
    }
  }

  /** Another writes, if the host shows that one of this origin has claimed to: its word alone stops nobody. */
  async #fenced(cause: HostError): Promise<number> {
    const { origin, root, election } = this.#ground;
    const { granted } = cause.details;
    if (granted === undefined || granted.writer === election.grant.writer) return this.#fail(cause);
    if (!isClaimSigned(granted, { origin, host: this.host.host }, root.verifyKey))
      return this.#accuse(new Lie('it names a writer of a higher epoch, whom this origin never was'));
    await election.fenced(granted);
    return 0;
  }

  /** Counts a failure. Returns how long to leave the host alone, in milliseconds. */
  #fail(error: unknown): number {
    const { logger, time } = this.#ground;
    const message = error instanceof Error ? error.message : String(error);
    this.#failures += 1;
    this.#isReached = false;
    if (this.#lastError !== message) {
      const level = error instanceof HostError ? 'warn' : 'error';
      logger[level]({ host: this.host.url, ...(level === 'error' ? { err: error } : {}) }, message);
    }
    this.#lastError = message;
    const asked = error instanceof HostError ? error.retryAfterMs : undefined;
    return asked ?? backoffMs(this.#failures, time.random());
  }

  async #accuse(lie: Lie): Promise<number> {
    this.#lies += 1;
    const { host, url } = this.host;
    this.#lastError = lie.message;
    if (this.#lies < LIES) return 0;
    this.#lies = 0;
    this.#isReached = false;
    this.#ground.logger.error({ host: url }, `host ${host} is suspended: ${lie.message}`);
    await this.#ground.changeState(host, 'SUSPENDED', this.#ground.known(host)?.sequence ?? 0, lie.message);
    return 0;
  }

  #state(): HostState {
    return this.#ground.known(this.host.host)?.state ?? 'ACTIVE';
  }
}
