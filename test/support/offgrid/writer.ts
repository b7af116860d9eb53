import { systemClock } from '../../../src/infra/clock.js';
import { addressOf, seal } from '../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { HttpHost } from '../../../src/infra/offgrid/replicator/http-host.js';
import { encodeBatch, type AddressedEvent } from '../../../src/infra/offgrid/wire/batch.js';
import { signClaim, type Destination, type Grant } from '../../../src/infra/offgrid/wire/claim.js';
import { AUTH_KEY } from './host.js';

export const ORIGIN = 'core-v2';

/** One who writes to hosts by hand. */
export class Writer {
  readonly root: RootKey;
  readonly grant: Grant;

  constructor(root = RootKey.generate(), grant: Grant = { epoch: 1, writer: 'abcdef:writer-1' }) {
    this.root = root;
    this.grant = grant;
  }

  /** Another writer of the same origin. */
  next(epoch: number, writer = `abcdef:writer-${epoch}`): Writer {
    return new Writer(this.root, { epoch, writer });
  }

  /** Events with numbers from one to another; another `story` is other content. */
  events(from: number, to: number, story = 'a', bytes = 0): AddressedEvent[] {
    return Array.from({ length: to - from + 1 }, (_, i) => {
      const place = { origin: ORIGIN, sequence: from + i, etype: 10, at: 1_700_000_000_000 + from + i };
      const sealed = seal(this.root.firstDataKey, place, `${story} ${from + i} ${'x'.repeat(bytes)}`);
      return { sequence: place.sequence, etype: place.etype, ts: place.at, sealed, eid: addressOf(sealed) };
    });
  }

  async claim(host: HttpHost, challenge = 'challenge-challenge') {
    return host.claim(ORIGIN, signClaim(this.root, await to(host), { ...this.grant, challenge }));
  }

  async batch(host: HttpHost, events: readonly AddressedEvent[]): Promise<Uint8Array> {
    return encodeBatch(this.root.signingKey, await to(host), this.grant.epoch, events);
  }

  async ship(host: HttpHost, events: readonly AddressedEvent[]) {
    return host.ship(ORIGIN, await this.batch(host, events));
  }
}

const hosts = new WeakMap<HttpHost, Promise<string>>();

/** Whom a message to a host is for. The client itself is not asked: it would learn from it. */
export async function to(client: HttpHost, origin = ORIGIN): Promise<Destination> {
  let host = hosts.get(client);
  if (host === undefined) {
    host = new HttpHost(client.url, AUTH_KEY, systemClock).key().then((key) => key.host);
    hosts.set(client, host);
  }
  return { origin, host: await host };
}

export function clientOf(host: RunningHost, authKey = AUTH_KEY): HttpHost {
  return new HttpHost(host.url, authKey, systemClock);
}
