import type { Duplex } from 'node:stream';
import {
  EventStoreDBClient,
  type AllStreamResolvedEvent,
  type ReadAllOptions,
  type StreamingRead,
} from '@eventstore/db-client';
import messages from '@eventstore/db-client/generated/streams_pb.js';
import type { Channel } from '@grpc/grpc-js';
import { LogError } from '../errors.js';
import type { Host, ServerAddress } from './address.js';
import type { Dialer } from './dialer.js';
import { discover } from './discovery.js';
import { SendBuffer } from './send-buffer.js';

/** The client's name for the stream that carries appends. */
const APPENDS = 'appendToStream';
/** The host that the client is given: no node has this name, so it means that no leader was named. */
const UNNAMED = { address: 'unnamed.invalid', port: 1 };
/** How many records the server examines at a time for a filtered read. */
const SEARCH_WINDOW = 1_024;
/** The largest event that a server may hold, in bytes, with room for the rest of its message. */
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;

/** The client's methods for opening channels, and streams on them, with types that are sufficient here. */
interface Internals {
  createChannel: () => Promise<Channel>;
  /** The leader that a server has named instead of itself, or else the host that the client was given. */
  resolveUri: () => Promise<string>;
  GRPCStreamCreator: (
    type: unknown,
    name: string,
    open: (stub: unknown) => Duplex,
    cache?: WeakMap<object, unknown>,
  ) => () => Promise<Duplex>;
}

const INTERNALS = ['createChannel', 'resolveUri', 'GRPCStreamCreator'] as const satisfies readonly (keyof Internals)[];

/**
 * The client's internals that this file uses. Its types do not declare them, so another version may lack them.
 * @throws LogError LOG_FAILED
 */
function internalsOf(client: EventStoreDBClient): Internals {
  const internals = client as unknown as Internals;
  const missing = INTERNALS.filter((name) => typeof internals[name] !== 'function');
  if (missing.length === 0) return internals;
  throw new LogError(
    'LOG_FAILED',
    `The installed @eventstore/db-client has no ${missing.join(' and no ')}, which this build needs to open and close connections. Install the version that package.json names: npm ci.`,
  );
}

/**
 * A client that can be closed completely. The client does not offer this, so its internals are changed, in this file only:
 * - Its channels are opened here, to the node that discovery finds, and closed with this connection, also those that the
 *   client no longer references; it opens no new ones afterwards, even for late calls.
 * - Answers to appends that the client regards as failed are ignored. When any stream of appends fails, the client regards
 *   every append in the process as failed, on any stream of any client; an answer to one then throws an error that no
 *   caller can catch, which ends the process.
 */
export class Connection {
  readonly client: EventStoreDBClient;
  readonly buffer = new SendBuffer();
  readonly #address: ServerAddress;
  readonly #dialer: Dialer;
  readonly #resolve: Internals['resolveUri'];
  readonly #channels: Promise<Channel>[] = [];
  #isOver = false;

  /**
   * @param onTorn called when the stream of appends breaks: the client opens another one automatically
   * @throws LogError LOG_FAILED when the installed client lacks the internals that this class uses
   */
  constructor(address: ServerAddress, dialer: Dialer, onTorn: () => void, client = clientOf(address)) {
    this.#address = address;
    this.#dialer = dialer;
    this.client = client;
    const internals = internalsOf(this.client);
    const { resolveUri, GRPCStreamCreator } = internals;
    this.#resolve = resolveUri;
    internals.createChannel = async () => {
      const last = this.#channels.at(-1);
      if (this.#isOver && last !== undefined) return last;
      const making = this.#open();
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

  async #open(): Promise<Channel> {
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = this.#address;
    const named = await this.#resolve();
    const isUnnamed = named === `${UNNAMED.address}:${UNNAMED.port}`;
    return this.#dialer.open(isUnnamed ? await this.#findNode() : read(named), {
      'grpc.keepalive_time_ms': orNever(keepAliveIntervalMs),
      'grpc.keepalive_timeout_ms': orNever(keepAliveTimeoutMs),
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    });
  }

  async #findNode(): Promise<Host> {
    const { hosts, isCluster, discovery } = this.#address;
    const [only] = hosts;
    return isCluster || only === undefined ? discover(hosts, discovery, this.#dialer) : only;
  }
}

/** The version of the server that a client is connected to, which the client asks for but does not offer; undefined when unknown. */
export async function versionOf(client: EventStoreDBClient): Promise<string | undefined> {
  const { serverVersion } = await (client as unknown as { readonly capabilities: Promise<{ serverVersion: string }> })
    .capabilities;
  return serverVersion === 'unknown' ? undefined : serverVersion;
}

/**
 * Reads all streams as the client's `readAll` does, but only the records of streams with one of these prefixes. The client
 * does not offer this: the filter is added to its request.
 */
export function readAllFiltered(
  client: EventStoreDBClient,
  options: ReadAllOptions,
  prefixes: readonly string[],
): StreamingRead<AllStreamResolvedEvent> {
  const { GRPCStreamCreator } = internalsOf(client);
  const filtering: EventStoreDBClient = Object.create(client, {
    GRPCStreamCreator: {
      value: ((type, name, open) =>
        GRPCStreamCreator(type, name, (stub) =>
          open(filteringStub(stub as Stub, prefixes)),
        )) satisfies Internals['GRPCStreamCreator'],
    },
  }) as EventStoreDBClient;
  return filtering.readAll(options);
}

/** The part of the client's gRPC stub that reads. */
interface Stub {
  read: (request: messages.ReadReq, ...rest: unknown[]) => Duplex;
}

function filteringStub(stub: Stub, prefixes: readonly string[]): Stub {
  const { FilterOptions } = messages.ReadReq.Options;
  const expression = new FilterOptions.Expression();
  expression.setPrefixList([...prefixes]);
  const filter = new FilterOptions();
  filter.setStreamIdentifier(expression);
  filter.setMax(SEARCH_WINDOW);
  // The server refuses 0, although it sends no checkpoints during a read.
  filter.setCheckpointintervalmultiplier(1);
  return {
    read: (request, ...rest) => {
      request.getOptions()?.setFilter(filter);
      return stub.read(request, ...rest);
    },
  };
}

/** A client that opens no channel itself, and so asks no cluster and reads no certificates. */
function clientOf({ connectionName, deadlineMs, tls, login }: ServerAddress): EventStoreDBClient {
  const settings = { endpoint: UNNAMED, connectionName, defaultDeadline: deadlineMs, throwOnAppendFailure: true };
  return new EventStoreDBClient(settings, { insecure: tls === undefined }, login);
}

function read(uri: string): Host {
  const colon = uri.lastIndexOf(':');
  return { host: uri.slice(0, colon), port: Number(uri.slice(colon + 1)) };
}

function orNever(ms: number): number {
  return ms < 0 ? Number.MAX_VALUE : ms;
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
