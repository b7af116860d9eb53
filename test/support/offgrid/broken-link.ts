import { HostFailure, type HostClient } from '../../../src/infra/offgrid/protocol/host-client.js';

/** A client over a link that is down for some calls. @param isDown whether it is for the next call of this name */
export function overBrokenLink(client: HostClient, isDown: (name: string | symbol) => boolean): HostClient {
  return new Proxy(client, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        if (isDown(name)) return Promise.reject(new HostFailure('UNREACHABLE', 'the link is down'));
        return member.apply(target, args) as unknown;
      };
    },
  });
}
