import { createHash, timingSafeEqual } from 'node:crypto';

/** What a caller may do: a viewer reads, a worker also works on jobs, an operator does everything. */
export const ROLES = ['viewer', 'worker', 'operator'] as const;
export type Role = (typeof ROLES)[number];

/** A bearer token and what it allows. */
export interface ApiToken {
  readonly token: string;
  readonly role: Role;
}

/** Whether a role allows what another needs. */
export function allows(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Tells callers by their bearer tokens. Without tokens configured everyone is an operator; then only loopback is bound. */
export class Authenticator {
  readonly #tokens: readonly { readonly digest: Buffer; readonly role: Role }[];

  constructor(tokens: readonly ApiToken[]) {
    this.#tokens = tokens.map(({ token, role }) => ({ digest: digest(token), role }));
  }

  /** The role of an `Authorization` header; `undefined` when it is missing or wrong. */
  role(authorization: string | undefined): Role | undefined {
    if (this.#tokens.length === 0) return 'operator';
    const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const given = digest(token);
    let role: Role | undefined;
    // Compares with every token, so that time tells nothing.
    for (const known of this.#tokens) if (timingSafeEqual(known.digest, given)) role = known.role;
    return role;
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
