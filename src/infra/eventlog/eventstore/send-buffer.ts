import type { Writable } from 'node:stream';

/**
 * The most messages that a client may hold. Its stream takes 16 before it makes its callers wait, and when the connection
 * is torn then, it rejects promises that nobody can handle, which ends the process.
 */
export const MAX_HELD_MESSAGES = 15;

/**
 * What a client holds of appends: the messages that it was given and that have not gone out. An append is with the client
 * for some microtasks before its messages are in the stream, so those of this turn of the event loop count as held. One
 * that takes longer waits for a connection: what is held then is not known.
 */
export class SendBuffer {
  #stream: Writable | undefined;
  #given = 0;
  #reached = 0;
  /** Messages given in this turn. */
  #entering = 0;

  /** How many messages the client may be given; none when that is not known. */
  get room(): number {
    const stream = this.#stream;
    if (stream?.writable !== true) return 0;
    return MAX_HELD_MESSAGES - stream.writableLength - this.#entering;
  }

  /**
   * Notes an append that the client is given now.
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

  /** Watches how the client comes by the stream that its appends go onto: it tells nobody which that is. */
  watched<S extends Writable>(open: () => Promise<S>): () => Promise<S> {
    return async () => {
      const stream = await open();
      this.#stream = stream;
      this.#reached += 1;
      return stream;
    };
  }
}
