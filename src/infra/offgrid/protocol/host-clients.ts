import type { Clock } from '../../platform/clock.js';
import type { HostClient } from './host-client.js';
import { HttpExchange } from './http-exchange.js';
import { HttpHostClient, type HttpHostClientOptions } from './http-host-client.js';

/** A client of a host over HTTP. When the signal aborts, it cancels its requests and closes its connections. */
export function hostClientUntil(signal: AbortSignal, options: Omit<HttpHostClientOptions, 'exchange'>): HostClient {
  const exchange = new HttpExchange(options.url);
  const close = () => {
    exchange.close();
  };
  signal.addEventListener('abort', close, { once: true });
  return new HttpHostClient({ ...options, exchange, signal });
}

/** Clients of hosts over HTTP that share kept connections, for the duration of one operation. */
export class HostClients {
  readonly #authKey: string;
  readonly #clock: Clock;
  readonly #exchanges = new Map<string, HttpExchange>();

  /** @param authKey OFFGRID_AUTH_KEY */
  constructor(authKey: string, clock: Clock) {
    this.#authKey = authKey;
    this.#clock = clock;
  }

  /** A client of the host at a URL. If `host`, a fingerprint, is given, only that host's answers are accepted. */
  of(url: string, host?: string): HostClient {
    const exchange = this.#exchanges.get(url) ?? new HttpExchange(url);
    this.#exchanges.set(url, exchange);
    const known = host === undefined ? {} : { host };
    return new HttpHostClient({ url, exchange, authKey: this.#authKey, clock: this.#clock, ...known });
  }

  /** Closes the kept connections. */
  close(): void {
    for (const exchange of this.#exchanges.values()) exchange.close();
  }
}
