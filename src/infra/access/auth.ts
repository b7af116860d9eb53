import { createHash, timingSafeEqual } from 'node:crypto';

/** What a caller may do: a viewer reads; a worker also makes tasks and jobs, and works on jobs; an operator does everything. */
export const ROLES = ['viewer', 'worker', 'operator'] as const;
export type Role = (typeof ROLES)[number];

/** A bearer token and what it allows. */
export interface ApiToken {
  readonly token: string;
  readonly role: Role;
}

/** Who asks. */
export interface Caller {
  readonly role: Role;
  /** What events name it as, and what its idempotency keys belong to: `worker:1f2e3d4c`, or `operator` without tokens. */
  readonly actor: string;
}

/** Hexadecimal digits of a token's SHA-256 that tell its events from those of another token. */
const FINGERPRINT_LENGTH = 8;

/** Whether a role allows what another needs. */
export function allows(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Everyone, where there are no tokens. */
const ANYONE: Caller = { role: 'operator', actor: 'operator' };

/** Tells callers by their bearer tokens. Without tokens configured everyone is an operator; then only loopback is bound. */
export class Authenticator {
  readonly #tokens: readonly { readonly digest: Buffer; readonly caller: Caller }[];

  constructor(tokens: readonly ApiToken[]) {
    this.#tokens = tokens.map(({ token, role }) => {
      const hash = digest(token);
      const actor = `${role}:${hash.toString('hex').slice(0, FINGERPRINT_LENGTH)}`;
      return { digest: hash, caller: { role, actor } };
    });
  }

  /** Whose an `Authorization` header is; `undefined` when it is missing or wrong. */
  caller(authorization: string | undefined): Caller | undefined {
    if (this.#tokens.length === 0) return ANYONE;
    const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const given = digest(token);
    let caller: Caller | undefined;
    // Compares with every token, so that time tells nothing.
    for (const known of this.#tokens) if (timingSafeEqual(known.digest, given)) caller = known.caller;
    return caller;
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
