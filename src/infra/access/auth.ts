import { createHash, timingSafeEqual } from 'node:crypto';

/** The roles of callers: a viewer reads; a worker also creates tasks and jobs and works on jobs; an operator does all. */
export const ROLES = ['viewer', 'worker', 'operator'] as const;
/** What a caller may do; each role includes the ones before it in `ROLES`. */
export type Role = (typeof ROLES)[number];

/** A bearer token and what it allows. */
export interface ApiToken {
  readonly token: string;
  readonly role: Role;
}

/** The caller of a request. */
export interface Caller {
  readonly role: Role;
  /** The caller's name in events, to which its idempotency keys belong: `worker:1f2e3d4c`, or `operator` without tokens. */
  readonly actor: string;
}

/** The number of hexadecimal digits of a token's SHA-256 that identify the token in events. */
const FINGERPRINT_LENGTH = 8;

/** Whether a role includes everything that the needed role allows. */
export function allows(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Every caller, when no tokens are configured. */
const ANYONE: Caller = { role: 'operator', actor: 'operator' };

/** Identifies callers by bearer tokens. Without configured tokens every caller is an operator; then only loopback is bound. */
export class Authenticator {
  readonly #tokens: readonly { readonly digest: Buffer; readonly caller: Caller }[];

  constructor(tokens: readonly ApiToken[]) {
    this.#tokens = tokens.map(({ token, role }) => {
      const hash = digest(token);
      const actor = `${role}:${hash.toString('hex').slice(0, FINGERPRINT_LENGTH)}`;
      return { digest: hash, caller: { role, actor } };
    });
  }

  /** The caller that an `Authorization` header identifies; undefined when it is missing or wrong. */
  caller(authorization: string | undefined): Caller | undefined {
    if (this.#tokens.length === 0) return ANYONE;
    const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const given = digest(token);
    let caller: Caller | undefined;
    // Compares with every token, so that the time taken reveals nothing.
    for (const known of this.#tokens) if (timingSafeEqual(known.digest, given)) caller = known.caller;
    return caller;
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
