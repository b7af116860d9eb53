import type { Duplex } from 'node:stream';
import { EventStoreDBClient } from '@eventstore/db-client';
import { LogError } from '../errors.js';
import { SendBuffer } from './send-buffer.js';

/** The client's name for the stream that carries appends. */
const APPENDS = 'appendToStream';

interface Channel {
  close(): void;
  /** gRPC's connections, and whether each connects again when its wait after a failure is over. */
  readonly internalChannel?: {
    readonly wrappedSubchannels?: Iterable<{ getRealSubchannel(): { continueConnecting: boolean } }>;
  };
}

/** The client's methods for opening channels, and streams on them, with types that are sufficient here. */
interface Internals {
  createChannel: () => Promise<Channel>;
  GRPCStreamCreator: (
    type: unknown,
    name: string,
    open: (stub: unknown) => Duplex,
    cache?: WeakMap<object, unknown>,
  ) => () => Promise<Duplex>;
}

const INTERNALS = ['createChannel', 'GRPCStreamCreator'] as const satisfies readonly (keyof Internals)[];

/**
 * The client's internals that this file replaces. Its types do not declare them, so another version may lack them.
 * @throws LogError LOG_FAILED
 */
function internalsOf(client: EventStoreDBClient): Internals {
  const internals = client as unknown as Internals;
  const missing = INTERNALS.filter((name) => typeof internals[name] !== 'function');
  if (missing.length === 0) return internals;
  throw new LogError(
    'LOG_FAILED',
    `The installed @eventstore/db-client has no ${missing.join(' and no ')}, which this build replaces to close connections. Install the version that package.json names: npm ci.`,
  );
}

/**
 * A client that can be closed completely. The client does not offer this, so its internals are changed, in this file only:
 * - All of its channels can be closed, also those that it no longer references, and it opens no new ones afterwards, even
 *   for late calls. Each channel is closed once: the client closes a channel for every failure on it, and gRPC counts the
 *   repeated closes as those of other channels, whose connections then stay open forever. A connection also stays open if
 *   it is closed while it waits for its next attempt, unless it is set to make no further attempt.
 * - Answers to appends that the client regards as failed are ignored. When any stream of appends fails, the client regards
 *   every append in the process as failed, on any stream of any client; an answer to one then throws an error that no
 *   caller can catch, which ends the process.
 */
export class Connection {
  readonly client: EventStoreDBClient;
  readonly buffer = new SendBuffer();
  readonly #channels: Promise<Channel>[] = [];
  #isOver = false;

  /**
   * @param onTorn called when the stream of appends breaks: the client opens another one automatically
   * @throws LogError LOG_FAILED when the installed client lacks the internals that this class replaces
   */
  constructor(url: string, onTorn: () => void) {
    this.client = EventStoreDBClient.connectionString(url);
    const internals = internalsOf(this.client);
    const { createChannel, GRPCStreamCreator } = internals;
    internals.createChannel = async () => {
      const last = this.#channels.at(-1);
      if (this.#isOver && last !== undefined) return last;
      const making = createChannel().then(closedOnce);
      this.#channels.push(making);
      const channel = await making;
      if (this.#isOver) channel.close();
      return channel;
    };
    const openAppends = (open: (stub: unknown) => Duplex) => (stub: unknown) => {
      const stream = forgiving(open(stub));
      for (const event of ['error', 'end']) stream.once(event, onTorn);
      return stream;
    };
    internals.GRPCStreamCreator = (type, name, open, cache) =>
      name === APPENDS
        ? this.buffer.watched(GRPCStreamCreator(type, name, openAppends(open), cache))
        : GRPCStreamCreator(type, name, open, cache);
  }

  /** Cancels pending calls, and closes all channels. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.client.dispose().catch(() => undefined);
    for (const made of await Promise.allSettled(this.#channels)) if (made.status === 'fulfilled') made.value.close();
  }
}

function closedOnce(channel: Channel): Channel {
  let close: (() => void) | undefined = channel.close.bind(channel);
  channel.close = () => {
    for (const subchannel of channel.internalChannel?.wrappedSubchannels ?? []) {
      subchannel.getRealSubchannel().continueConnecting = false;
    }
    close?.();
    close = undefined;
  };
  return channel;
}

function forgiving(stream: Duplex): Duplex {
  for (const listener of stream.listeners('data') as ((answer: unknown) => void)[]) {
    stream.off('data', listener);
    stream.on('data', (answer: unknown) => {
      try {
        listener(answer);
      } catch {
        // The append was already reported as failed.
      }
    });
  }
  return stream;
}
