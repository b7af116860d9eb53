import type { CommandContext } from '../commands/context.js';
import type { Role } from '../http/auth.js';
import type { Services } from './services.js';
import type { Loaders } from './loaders.js';

/** What a resolver knows of the request. */
export interface ApiContext {
  readonly services: Services;
  readonly loaders: Loaders;
  readonly role: Role;
  readonly correlationId: string;
}

/** The context of a command from this request. */
export function commandContext(
  { role, correlationId }: ApiContext,
  input: { readonly idempotencyKey?: string | null; readonly expectedRevision?: number | null } = {},
): CommandContext {
  const { idempotencyKey, expectedRevision } = input;
  return {
    actor: role,
    correlationId,
    idempotencyKey: idempotencyKey ?? undefined,
    expectedRevision:
      expectedRevision === undefined || expectedRevision === null ? undefined : BigInt(expectedRevision),
  };
}
