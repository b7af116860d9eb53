import { HostFailure, type HostClient } from '../../../src/infra/offgrid/protocol/host-client.js';

/** A client over a link that is down for some calls. @param isDown whether it is down for the next call of this name */
export function overBrokenLink(client: HostClient, isDown: (name: string | symbol) => boolean): HostClient {
  return over(client, (name, call) =>
    isDown(name) ? Promise.reject(new HostFailure('UNREACHABLE', 'the link is down')) : call(),
  );
}

/** A client over a link on which no call is made until a promise resolves. */
export function overSilentLink(client: HostClient, until: Promise<void>): HostClient {
  return over(client, (_, call) => until.then(call));
}

/** A client whose calls are made by a function. */
function over(client: HostClient, made: (name: string | symbol, call: () => unknown) => unknown): HostClient {
  return new Proxy(client, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => made(name, () => member.apply(target, args) as unknown);
    },
  });
}
