import { connect, createServer, type Server, type Socket } from 'node:net';
import { quietPort } from '../ports.js';

/** A connection from a client, and the one to the server, once it exists. */
interface Link {
  readonly outer: Socket;
  inner: Socket | undefined;
}

/**
 * The proxy that clients connect to: passes bytes to and from a server on this machine, and can reset, refuse or hold
 * the connections. It never reads the bytes that it passes.
 */
export class FrontDoor {
  readonly #innerPort: number;
  readonly #links = new Set<Link>();
  #server: Server | undefined;
  readonly #port: number;
  #isStalled = false;
  #accepted = 0;

  private constructor(innerPort: number, port: number) {
    this.#innerPort = innerPort;
    this.#port = port;
  }

  /** @param port 0 for any free port, which the system assigns to no other process while the door is closed */
  static async open(innerPort: number, port: number): Promise<FrontDoor> {
    const door = new FrontDoor(innerPort, port === 0 ? await quietPort() : port);
    await door.accept();
    return door;
  }

  get port(): number {
    return this.#port;
  }

  get isOpen(): boolean {
    return this.#server !== undefined;
  }

  /** The number of open connections. */
  get connections(): number {
    return this.#links.size;
  }

  /** The number of connections since the start. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Resets every connection. */
  drop(): void {
    for (const { outer, inner } of [...this.#links]) {
      outer.resetAndDestroy();
      inner?.destroy();
    }
  }

  /** Resets every connection and accepts no more. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server === undefined ? undefined : new Promise<unknown>((resolve) => server.close(resolve));
    this.drop();
    await closed;
  }

  /** Accepts connections, always on the same port. */
  async accept(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((outer) => this.#enter(outer));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
  }

  /** Keeps and accepts connections, but passes nothing. */
  stall(): void {
    this.#isStalled = true;
    for (const { outer, inner } of this.#links) {
      if (inner === undefined) continue;
      outer.unpipe(inner);
      inner.unpipe(outer);
    }
  }

  /** Passes the bytes that were held, and those that follow. */
  unstall(): void {
    this.#isStalled = false;
    for (const link of this.#links) this.#join(link);
  }

  #enter(outer: Socket): void {
    const link: Link = { outer, inner: undefined };
    this.#links.add(link);
    this.#accepted += 1;
    outer.setNoDelay(true);
    outer.on('error', () => undefined);
    outer.once('close', () => {
      this.#links.delete(link);
      link.inner?.destroy();
    });
    if (!this.#isStalled) this.#join(link);
  }

  #join(link: Link): void {
    if (link.inner === undefined) {
      link.inner = connect({ host: '127.0.0.1', port: this.#innerPort, noDelay: true });
      link.inner.on('error', () => undefined);
      link.inner.once('close', () => link.outer.destroy());
    }
    link.outer.pipe(link.inner);
    link.inner.pipe(link.outer);
  }
}
