import { LogError } from '../errors.js';
import { Tail } from '../tail.js';
import { subscriptionBatches } from './batch-subscription.js';
import type { EventCodec } from './event-codec.js';
import { NoAnswer, toLogError } from './failures.js';
import type { Reader } from './reader.js';
import { Tries, type ReconnectingClient } from './reconnecting-client.js';
import { subscriptionMessages } from './subscription-messages.js';

/** How often to check that no event is missing, in milliseconds. */
const WATCH_MS = 10_000;
/** How long a missing event may take to arrive, in milliseconds. */
const LATE_MS = 5_000;

/**
 * Keeps a tail up to date with the server while it has readers: one subscription for all live readers, opened again
 * whenever it ends, for any reason.
 */
export class LiveSubscription {
  readonly tail = new Tail(0n);
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  readonly #reader: Reader;
  #readers = 0;
  #started: Promise<void> | undefined;
  #stopping = new AbortController();
  #failure: LogError | undefined;
  #lost: LogError | undefined;

  constructor(connection: ReconnectingClient, codec: EventCodec, reader: Reader) {
    this.#connection = connection;
    this.#codec = codec;
    this.#reader = reader;
  }

  /** Joins as a reader: from when this resolves until `leave`, new events are added to the tail. @throws LogError */
  async join(): Promise<void> {
    this.#readers += 1;
    this.#started ??= this.#start();
    try {
      await this.#started;
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** Leaves as a reader. The subscription ends with its last reader. */
  leave(): void {
    this.#readers -= 1;
    if (this.#readers > 0) return;
    this.#stopping.abort();
    this.#started = undefined;
  }

  /** @throws LogError when no event can arrive and trying again does not help */
  assertWell(): void {
    this.assertWhole();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** @throws LogError LOG_CORRUPT once the log was found to lack events that were read before: it must no longer be used */
  assertWhole(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Checks that the log still reaches a position that was read before; returns its end. @throws LogError LOG_CORRUPT */
  async checkEnd(seen: bigint): Promise<bigint> {
    const head = await this.#reader.head();
    if (head < seen) {
      this.#lost = lostEvents(head, seen);
      this.tail.wake();
    }
    this.assertWhole();
    return head;
  }

  async #start(): Promise<void> {
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#failure = undefined;
    const head = await this.#head();
    if (stopping.signal.aborted) return;
    this.tail.reset(head);
    void this.#run(AbortSignal.any([stopping.signal, this.#connection.closing]));
  }

  /** The end of the log. Waits for the server without a limit. */
  async #head(): Promise<bigint> {
    for (const tries = new Tries(true); ;) {
      try {
        return await this.#reader.head();
      } catch (error) {
        await this.#connection.retry(this.#connection.client, error, tries);
      }
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted && this.#lost === undefined; failures += 1) {
      const { client } = this.#connection;
      try {
        for await (const { sized, through } of this.#pieces(signal)) {
          this.#connection.succeeded();
          this.#failure = undefined;
          failures = 0;
          this.tail.append(sized, through);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(client, error);
        // Retrying would hide the damage once the log has grown past it: readers must get the error.
        if (this.#failure?.code === 'LOG_CORRUPT') return;
      }
      await this.#connection.rest(failures);
    }
  }

  #failed(client: ReconnectingClient['client'], error: unknown): void {
    try {
      this.#connection.failed(client, error);
    } catch {
      // It is retried anyway, because the cause may be corrected on the server.
      this.#failure = toLogError(error, this.#connection.address);
      this.tail.wake();
    }
  }

  async *#pieces(signal: AbortSignal): ReturnType<typeof subscriptionBatches> {
    const after = this.tail.to;
    const head = await this.checkEnd(after);
    const stuck = new AbortController();
    const watch = setInterval(() => void this.#watch(stuck), WATCH_MS).unref();
    try {
      const messages = subscriptionMessages(
        this.#connection.client,
        after,
        this.#codec.prefixes(),
        AbortSignal.any([signal, stuck.signal]),
        true,
      );
      yield* subscriptionBatches(messages, this.#codec, {
        after,
        head,
        filter: undefined,
        batchSize: 500,
        isLive: true,
      });
      if (stuck.signal.aborted) throw new NoAnswer(WATCH_MS);
    } finally {
      clearInterval(watch);
    }
  }

  /** Aborts a subscription that is open but delivers nothing although there are new events. */
  async #watch(stuck: AbortController): Promise<void> {
    const { to } = this.tail;
    const head = await this.#reader.head().catch(() => to);
    if (head <= to) return;
    setTimeout(() => {
      if (this.tail.to === to) stuck.abort();
    }, LATE_MS).unref();
  }
}

function lostEvents(head: bigint, seen: bigint): LogError {
  return new LogError(
    'LOG_CORRUPT',
    `The log ends at ${head}, but was read up to ${seen} before: it has lost events, or is an older copy. Stop all cores; then restore the server, or accept this log with \`sheratan replay missions --reset\`.`,
  );
}
