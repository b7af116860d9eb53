import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';

/** The most connections to a host. */
export const MAX_CONNECTIONS = 128;
/** The most connections of one address. */
export const MAX_CONNECTIONS_PER_ADDRESS = 16;
/** Connections that are kept for addresses which have lately shown that they know the key. */
export const RESERVED_CONNECTIONS = 32;
/** For how long an address is known, in milliseconds. */
const KNOWN_MS = 600_000;
/** The most addresses that are known. */
const MAX_KNOWN = 1_024;

/** Keeps strangers from taking all connections: those beyond a limit are closed at once. */
export class ConnectionLimits {
  readonly #byAddress = new Map<string, number>();
  readonly #known = new LRUCache<string, true>({ max: MAX_KNOWN, ttl: KNOWN_MS });
  #open = 0;

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

  /** A request from there was authentic. */
  authenticated(address: string): void {
    this.#known.set(address, true);
  }

  #mayOpen(address: string): boolean {
    if ((this.#byAddress.get(address) ?? 0) >= MAX_CONNECTIONS_PER_ADDRESS) return false;
    return this.#open < (this.#known.has(address) ? MAX_CONNECTIONS : MAX_CONNECTIONS - RESERVED_CONNECTIONS);
  }
}
