import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';

/** The maximum number of connections to a host. */
export const MAX_CONNECTIONS = 128;
/** The maximum number of connections from one address. */
export const MAX_CONNECTIONS_PER_ADDRESS = 16;
/** The number of connections reserved for addresses that sent an authentic request within KNOWN_MS. */
export const RESERVED_CONNECTIONS = 32;
/** How long an address is known after an authentic request, in milliseconds. */
const KNOWN_MS = 600_000;
/** The maximum number of known addresses. */
const MAX_KNOWN = 1_024;

/** Prevents unauthenticated clients from taking all connections: connections beyond a limit are closed immediately. */
export class ConnectionLimits {
  readonly #byAddress = new Map<string, number>();
  readonly #known = new LRUCache<string, true>({ max: MAX_KNOWN, ttl: KNOWN_MS });
  #open = 0;

  /** Applies the limits to the new connections of a server. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const { remoteAddress: address = '' } = socket;
      if (!this.#mayOpen(address)) {
        socket.destroy();
        return;
      }
      this.#open += 1;
      this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
      socket.once('close', () => {
        this.#open -= 1;
        const left = (this.#byAddress.get(address) ?? 1) - 1;
        if (left > 0) this.#byAddress.set(address, left);
        else this.#byAddress.delete(address);
      });
    });
  }

  /** Records that a request from an address was authentic. */
  authenticated(address: string): void {
    this.#known.set(address, true);
  }

  #mayOpen(address: string): boolean {
    if ((this.#byAddress.get(address) ?? 0) >= MAX_CONNECTIONS_PER_ADDRESS) return false;
    return this.#open < (this.#known.has(address) ? MAX_CONNECTIONS : MAX_CONNECTIONS - RESERVED_CONNECTIONS);
  }
}
