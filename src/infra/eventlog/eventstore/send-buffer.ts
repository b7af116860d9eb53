import type { Writable } from 'node:stream';

/**
 * The most messages that a client may hold. Its stream accepts 16 before its callers must wait. If the connection breaks
 * then, the client rejects promises that no caller can handle, which ends the process.
 */
export const MAX_HELD_MESSAGES = 15;

/**
 * The append messages that a client holds: given to it but not yet sent. The client takes some microtasks to put the
 * messages of an append into its stream, so the messages of the current turn of the event loop count as held. An append
 * that takes longer is waiting for a connection: the number of held messages is then unknown.
 */
export class SendBuffer {
  #stream: Writable | undefined;
  #given = 0;
  #reached = 0;
  /** Messages given in this turn of the event loop. */
  #entering = 0;

  /** How many more messages the client may be given; 0 if that is unknown. */
  get room(): number {
    const stream = this.#stream;
    if (stream?.writable !== true) return 0;
    return MAX_HELD_MESSAGES - stream.writableLength - this.#entering;
  }

  /**
   * Notes that the client is given an append now.
   * @param onRoom called in the next turn, when there may be more room
   */
  give(messages: number, onRoom: () => void): void {
    this.#given += 1;
    if (this.#entering === 0) {
      setImmediate(() => {
        this.#entering = 0;
        if (this.#given !== this.#reached) this.#stream = undefined;
        onRoom();
      });
    }
    this.#entering += messages;
  }

  /** Wraps the client's method for getting the stream of its appends, because the client does not expose that stream. */
  watched<S extends Writable>(open: () => Promise<S>): () => Promise<S> {
    return async () => {
      const stream = await open();
      this.#stream = stream;
      this.#reached += 1;
      return stream;
    };
  }
}
