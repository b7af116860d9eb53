import type { Metadata, ServiceError } from '@grpc/grpc-js';
import { accessDenied, unauthenticated } from './errors.js';

/** Passwords by user name. */
export type Users = Readonly<Record<string, string>>;

/** Access to the server. Without users every caller has full access; otherwise only these users do. */
export class Access {
  readonly #users: Users | undefined;

  constructor(users: Users | undefined) {
    this.#users = users;
  }

  /** Why a call is refused; undefined if it is not. */
  refusal(metadata: Metadata): ServiceError | undefined {
    if (this.#users === undefined) return undefined;
    const [authorization] = metadata.get('authorization');
    if (authorization === undefined) return accessDenied();
    const [scheme = '', encoded = ''] = authorization.toString().split(' ');
    const [, user = '', password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
    const isKnown = Object.hasOwn(this.#users, user) && this.#users[user] === password;
    return scheme.toLowerCase() === 'basic' && isKnown ? undefined : unauthenticated();
  }
}
