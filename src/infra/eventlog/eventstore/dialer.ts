import { connect, isIP, type Socket } from 'node:net';
import { connect as secure, type SecureContext } from 'node:tls';
import { CallCredentials, Channel, ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { nameOf, type Host } from './address.js';

/** How long a node may take to accept a connection, and again to complete a TLS handshake, in milliseconds. */
export const DIAL_MS = 2_000;
/** How long the last calls of a closed channel may take to end, in milliseconds. */
const CLOSE_MS = 1_000;

/** What gRPC asks of credentials for each node that it connects to. */
type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Opens channels to nodes. By itself, gRPC sets no limit to how long a node may take to accept a connection or to complete a
 * handshake, and a channel that is closed meanwhile leaves its socket open. Here each has a limit, a closed channel leaves
 * nothing behind, and no two channels share a connection, nor the long waits between the attempts to connect.
 */
export class Dialer {
  readonly #context: SecureContext | undefined;
  /** By node: why the last connection failed. A node that was reached has no entry. */
  readonly #failures = new Map<string, Error>();

  /** @param context what TLS connections are made with; undefined if there is to be no TLS */
  constructor(context: SecureContext | undefined) {
    this.#context = context;
  }

  /** Why the last attempt to connect to a node failed; undefined if it succeeded, or if there was none. */
  failureOf(node: Host): Error | undefined {
    return this.#failures.get(nameOf(node));
  }

  /** A channel to a node. Its `close` may be called repeatedly. */
  open(node: Host, options: ChannelOptions = {}): Channel {
    const sockets = new Sockets();
    const credentials = new NodeCredentials(this.#context !== undefined, this.#connector(node, sockets));
    const channel = new Channel(nameOf(node), credentials, options);
    let close: (() => void) | undefined = channel.close.bind(channel);
    channel.close = () => {
      close?.();
      close = undefined;
      sockets.close();
    };
    return channel;
  }

  #connector(node: Host, sockets: Sockets): Connector {
    const name = nameOf(node);
    const failed = (error: unknown): never => {
      this.#failures.set(name, error as Error);
      throw error;
    };
    let overdue: NodeJS.Timeout | undefined;
    return {
      waitForReady: async () => {
        sockets.assertOpen();
        // gRPC connects next, and waits for minutes. So ask a node that did not answer whether it accepts a connection.
        if (this.#failures.has(name)) await dial(node, sockets).catch(failed);
        overdue = setTimeout(() => this.#failures.set(name, late('no connection')), DIAL_MS).unref();
      },
      connect: async (socket) => {
        clearTimeout(overdue);
        sockets.add(socket);
        const secured = this.#context && (await handshake(socket, node.host, this.#context).catch(failed));
        this.#failures.delete(name);
        sockets.use(socket);
        return { socket: secured ?? socket, secure: secured !== undefined };
      },
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => clearTimeout(overdue),
    };
  }
}

/** The sockets of a channel. */
class Sockets {
  readonly #connecting = new Set<Socket>();
  readonly #used = new Set<Socket>();
  #isOver = false;

  /** @throws Error once these are closed */
  assertOpen(): void {
    if (this.#isOver) throw new Error('the channel is closed');
  }

  /** Adds a socket that is not used yet. */
  add(socket: Socket): void {
    this.#connecting.add(socket);
    socket.once('close', () => {
      this.#connecting.delete(socket);
      this.#used.delete(socket);
    });
    if (this.#isOver) socket.destroy();
  }

  /** Notes that calls use a socket from now on. */
  use(socket: Socket): void {
    if (this.#connecting.delete(socket)) this.#used.add(socket);
  }

  /** Closes all sockets, those in use after CLOSE_MS, and any that is added later. */
  close(): void {
    this.#isOver = true;
    for (const socket of this.#connecting) socket.destroy();
    setTimeout(() => {
      for (const socket of this.#used) socket.destroy();
    }, CLOSE_MS).unref();
  }
}

/** Credentials that equal no others: gRPC shares the connections of channels whose credentials and options are equal. */
class NodeCredentials extends ChannelCredentials {
  readonly #isSecure: boolean;
  readonly #connector: Connector;

  constructor(isSecure: boolean, connector: Connector) {
    super();
    this.#isSecure = isSecure;
    this.#connector = connector;
  }

  override _isSecure(): boolean {
    return this.#isSecure;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  override _createSecureConnector(): Connector {
    return this.#connector;
  }
}

/** Resolves when a node has accepted a connection, which is closed again. @throws Error after DIAL_MS */
async function dial({ host, port }: Host, sockets: Sockets): Promise<void> {
  const socket = connect({ host, port });
  sockets.add(socket);
  try {
    await inTime(socket, 'connect', 'no connection');
  } finally {
    socket.destroy();
  }
}

/** Resolves with the secure socket once there is one. @throws Error when the node is not to be trusted, or after DIAL_MS */
async function handshake(socket: Socket, host: string, secureContext: SecureContext): Promise<Socket> {
  // Only a name may be a server name; Node checks an address as the host.
  const servername = isIP(host) === 0 ? host : '';
  const secured = secure({ socket, secureContext, host, servername, ALPNProtocols: ['h2'] });
  await inTime(secured, 'secureConnect', 'no TLS handshake');
  return secured;
}

/** Resolves on an event of a socket. @throws Error of the socket, which is destroyed after DIAL_MS */
function inTime(socket: Socket, event: 'connect' | 'secureConnect', what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(late(what)), DIAL_MS);
    socket.once(event, resolve);
    // This listener stays: an error without one ends the process.
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    for (const end of [event, 'close']) socket.once(end, () => clearTimeout(timer));
  });
}

function late(what: string): Error {
  return new Error(`${what} within ${DIAL_MS / 1_000} s`);
}
