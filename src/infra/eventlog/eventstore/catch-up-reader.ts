import type { EventBatch } from '../eventlog.js';
import { subscriptionBatches, type Cut } from './batch-subscription.js';
import type { EventCodec } from './event-codec.js';
import { isInvalidPosition } from './failures.js';
import type { End, Reader } from './reader.js';
import { Tries, type ReconnectingClient } from './reconnecting-client.js';
import { subscriptionMessages } from './subscription-messages.js';

/** The part of the existing log to read. */
export interface Excerpt extends Pick<Cut, 'after' | 'filter' | 'batchSize'> {
  readonly signal: AbortSignal;
  /** The earliest end of the read; by default the end that the log has when a subscription starts. */
  readonly end?: End;
  /** Whether to wait for the server without a limit. */
  readonly isPatient: boolean;
}

/** Reads existing events by subscriptions that are ended at the end of the log, because server reads have no filter. */
export class CatchUpReader {
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  readonly #reader: Reader;

  constructor(connection: ReconnectingClient, codec: EventCodec, reader: Reader) {
    this.#connection = connection;
    this.#codec = codec;
    this.#reader = reader;
  }

  /** Reads events after a position, at least up to the end. Ends early, without an error, on its signal. @throws LogError */
  async *read({ after, filter, batchSize, signal, isPatient, ...given }: Excerpt): AsyncIterable<EventBatch> {
    const tries = new Tries(isPatient);
    let end: End;
    let cursor = after;
    let from = after > this.#reader.start ? after : this.#reader.start;
    while (!signal.aborted) {
      const { client } = this.#connection;
      try {
        end = given.end ?? (await this.#reader.end());
        const head = end.position;
        if (cursor >= head) return;
        const prefixes = this.#codec.prefixes(filter);
        if (prefixes.length === 0) {
          yield { events: [], through: head, live: false };
          return;
        }
        // Include the end's stream whatever the filter is, because not every server reports that it has caught up.
        if (end.stream !== undefined) prefixes.push(end.stream);
        const messages = subscriptionMessages(client, from, prefixes, signal, false);
        const cut = { after: cursor, head, filter, batchSize, isLive: false };
        for await (const piece of subscriptionBatches(messages, this.#codec, cut)) {
          this.#connection.succeeded();
          tries.succeeded();
          cursor = piece.through;
          from = cursor;
          yield piece;
          if (cursor >= head) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        // Earlier builds kept positions at which no record begins: the server sends the events before the cursor again.
        if (isInvalidPosition(error) && from > this.#reader.start) from = this.#reader.start;
        else await this.#connection.retry(client, error, tries);
      }
    }
  }
}
