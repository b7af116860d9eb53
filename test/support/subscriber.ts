import { createClient, type Client } from 'graphql-ws';
import { vi } from 'vitest';
import WebSocket from 'ws';

/** The longest a test waits for a value, in milliseconds. */
const PATIENCE_MS = 40_000;

export interface SubscriberOptions {
  readonly connectionParams?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
}

type Untyped = ReturnType<typeof JSON.parse>;

/** One subscription: its results so far, and how it ended. */
export interface Feed {
  /** The `data` of each result. */
  readonly values: Untyped[];
  /** The `errors` of results, and of the operation itself. */
  readonly errors: { readonly message: string; readonly extensions?: { readonly code?: string } }[];
  readonly isOver: () => boolean;
  /** Resolves when there are at least `count` values. */
  take(count: number): Promise<Untyped[]>;
  /** Resolves with the first errors. */
  refused(): Promise<Feed['errors']>;
  /** Resolves when the operation is over. */
  over(): Promise<void>;
  /** Completes the operation. */
  end(): void;
}

/** A graphql-ws client over a real socket, which never reconnects automatically. */
export class Subscriber {
  readonly client: Client;
  #socket: WebSocket | undefined;
  #closed: { readonly code: number; readonly reason: string } | undefined;

  constructor(url: string, { connectionParams, headers }: SubscriberOptions = {}) {
    class WithHeaders extends WebSocket {
      constructor(address: string, protocols: string) {
        super(address, protocols, { headers: headers ?? {} });
      }
    }
    this.client = createClient({
      url,
      webSocketImpl: WithHeaders,
      retryAttempts: 0,
      ...(connectionParams === undefined ? {} : { connectionParams }),
      on: {
        opened: (socket) => (this.#socket = socket as WebSocket),
        closed: (event) => {
          const { code, reason } = event as { code: number; reason: string };
          this.#closed = { code, reason };
        },
      },
    });
  }

  /** Starts an operation. */
  run(query: string, variables: Record<string, unknown> = {}): Feed {
    const values: Untyped[] = [];
    const errors: Feed['errors'][number][] = [];
    let over = false;
    const end = this.client.subscribe<Untyped>(
      { query, variables },
      {
        next: (result) => {
          if (result.data !== undefined && result.data !== null) values.push(result.data);
          if (result.errors !== undefined) errors.push(...(result.errors as Feed['errors']));
        },
        error: (error) => {
          over = true;
          if (Array.isArray(error)) errors.push(...(error as Feed['errors']));
        },
        complete: () => (over = true),
      },
    );
    const until = (what: string, holds: () => boolean) =>
      vi.waitFor(
        () => {
          if (!holds())
            throw new Error(`${what}; there are ${values.length} values, errors: ${JSON.stringify(errors)}`);
        },
        { timeout: PATIENCE_MS, interval: 5 },
      );
    return {
      values,
      errors,
      isOver: () => over,
      take: async (count) => {
        await until(`waited for ${count} values`, () => values.length >= count);
        return values;
      },
      refused: async () => {
        await until('waited for errors', () => errors.length > 0);
        return errors;
      },
      over: () => until('waited for the end', () => over),
      end,
    };
  }

  /** Resolves once connected. */
  async connected(): Promise<void> {
    await this.run('{ __typename }').over();
  }

  /** Resolves with the close code and reason once the socket is closed. */
  async closed(): Promise<{ readonly code: number; readonly reason: string }> {
    return vi.waitFor(
      () => {
        if (this.#closed === undefined) throw new Error('the socket is open');
        return this.#closed;
      },
      { timeout: PATIENCE_MS, interval: 5 },
    );
  }

  /** Breaks the connection. */
  terminate(): void {
    this.#socket?.terminate();
  }

  /** Stops reading from the socket: everything that the server sends queues up on its side. */
  pause(): void {
    this.#socket?.pause();
  }

  /** Continues reading. */
  resume(): void {
    this.#socket?.resume();
  }

  async dispose(): Promise<void> {
    await this.client.dispose();
  }
}
