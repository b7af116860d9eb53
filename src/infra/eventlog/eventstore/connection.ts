import type { Duplex } from 'node:stream';
import { EventStoreDBClient } from '@eventstore/db-client';
import { LogError } from '../errors.js';
import { SendBuffer } from './send-buffer.js';

/** What the client calls the stream that appends go by. */
const APPENDS = 'appendToStream';

interface Channel {
  close(): void;
  /** What gRPC connects by, and whether it does so again when its wait after a failure is over. */
  readonly internalChannel?: {
    readonly wrappedSubchannels?: Iterable<{ getRealSubchannel(): { continueConnecting: boolean } }>;
  };
}

/** How the client opens channels, and streams on them, in a form that holds for all. */
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
 * What of the client is replaced here. Its types do not name it, so another version may have it no more.
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
 * A client that can be let go of. What it does not offer is done to its insides here, and nowhere else:
 * - Its channels can be closed, those too that it has lost sight of, and it makes no other then, whatever is asked late.
 *   Each is closed once: the client closes one as often as something fails on it, and gRPC takes that for the closing of
 *   others, whose connections then stay for ever. So does one that is closed while it waits for another attempt to
 *   connect, unless it is told to make none.
 * - It passes over answers to appends that it has taken for failed. When any stream of appends fails, the client takes
 *   every append in the process for failed, on whichever stream of whichever client; and when one is answered after all,
 *   it throws where nobody can catch it, which ends the process.
 */
export class Connection {
  readonly client: EventStoreDBClient;
  readonly buffer = new SendBuffer();
  readonly #channels: Promise<Channel>[] = [];
  #isOver = false;

  /**
   * @param onTorn called when the stream of appends is torn: the client makes another by itself
   * @throws LogError LOG_FAILED when the installed client is not the one that this was written for
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

  /** Cancels what is under way, and closes. */
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
        // Nobody waits for it any more.
      }
    });
  }
  return stream;
}
