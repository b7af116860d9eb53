import type { CommandContext } from '../../commands/context.js';
import type { Caller } from '../../access/auth.js';
import type { Projector } from '../../projector/projector.js';
import { Consistency } from '../../services/durability.js';
import type { Services } from '../../services/services.js';
import type { Loaders } from './loaders.js';

/** What a resolver knows of the request. */
export interface ApiContext {
  readonly services: Services;
  readonly loaders: Loaders;
  readonly caller: Caller;
  readonly correlationId: string;
}

/**
 * Waits until the read models have reached a position a client named; what other fields read before is read anew.
 * @throws GraphQLError POSITION_UNKNOWN, CONSISTENCY_TIMEOUT
 */
export async function waitForPosition(
  { services, loaders }: ApiContext,
  token: string | null | undefined,
  projector?: Projector,
): Promise<void> {
  if (token === null || token === undefined) return;
  await services.at(token, projector);
  loaders.forget();
}

/** Waits until a change is as durable as asked (PROJECTED unless told), and says how durable it is; what was read before it is read anew. */
export async function settle(
  { services, loaders }: ApiContext,
  position: bigint,
  wanted: Consistency | null,
  projector?: Projector,
): Promise<Consistency> {
  const durability = await services.settle(position, wanted ?? Consistency.PROJECTED, projector);
  loaders.forget();
  return durability;
}

/** The context of a command from this request. */
export function commandContext(
  { caller, correlationId }: ApiContext,
  input: { readonly idempotencyKey?: string | null; readonly expectedRevision?: number | null } = {},
): CommandContext {
  const { idempotencyKey, expectedRevision } = input;
  return {
    actor: caller.actor,
    correlationId,
    idempotencyKey: idempotencyKey ?? undefined,
    expectedRevision:
      expectedRevision === undefined || expectedRevision === null ? undefined : BigInt(expectedRevision),
  };
}
