import type { EventBatch } from '../eventlog.js';
import { subscriptionBatches, type Cut } from './batch-subscription.js';
import type { EventCodec } from './event-codec.js';
import { isInvalidPosition } from './failures.js';
import type { End, Reader } from './reader.js';
import { Tries, type ReconnectingClient } from './reconnecting-client.js';
import { subscriptionMessages } from './subscription-messages.js';

/** What is read of the past. */
export interface Excerpt extends Pick<Cut, 'after' | 'filter' | 'batchSize'> {
  readonly signal: AbortSignal;
  /** Where it ends at the earliest; the end of the log as it is found, unless told. */
  readonly end?: End;
  /** Whether the server is waited for however long it does not answer. */
  readonly isPatient: boolean;
}

/** Reads what lies in the log, by subscriptions that are left when they have reached the end: reads know no filter. */
export class CatchUpReader {
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  readonly #reader: Reader;

  constructor(connection: ReconnectingClient, codec: EventCodec, reader: Reader) {
    this.#connection = connection;
    this.#codec = codec;
    this.#reader = reader;
  }

  /** What is there after a position, at least up to the end. Ends early, without an error, by its signal. @throws LogError */
  async *read({ after, filter, batchSize, signal, isPatient, ...given }: Excerpt): AsyncIterable<EventBatch> {
    const tries = new Tries(isPatient);
    let { end } = given;
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
        // So the end is met whatever the filter wants: not every server says when there is no more.
        if (end.stream !== undefined) prefixes.push(end.stream);
        const said = subscriptionMessages(client, from, prefixes, signal, false);
        const cut = { after: cursor, head, filter, batchSize, isLive: false };
        for await (const piece of subscriptionBatches(said, this.#codec, cut)) {
          this.#connection.succeeded();
          tries.succeeded();
          cursor = piece.through;
          from = cursor;
          yield piece;
          if (cursor >= head) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (isInvalidPosition(error)) from = await this.#reader.recordBefore(cursor, end?.position ?? cursor);
        else await this.#connection.retry(client, error, tries);
      }
    }
  }
}
