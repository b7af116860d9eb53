import type { Caller } from '../../access/auth.js';
import type { CommandContext } from '../../commands/context.js';
import type { Projector } from '../../projector/projector.js';
import type { CoreServices, Durability } from '../../services/core-services.js';
import type { Loaders } from './loaders.js';

/** What a resolver knows about the request. */
export interface ApiContext {
  readonly services: CoreServices;
  readonly loaders: Loaders;
  readonly caller: Caller;
  readonly correlationId: string;
}

/**
 * Waits until the read models have reached a position that a client named. Rows that other fields read before are read again.
 * @throws RequestError POSITION_UNKNOWN, CONSISTENCY_TIMEOUT
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

/** Waits until a change is as durable as requested (PROJECTED by default) and returns how durable it is; later reads see it. */
export async function waitUntilDurable(
  { services, loaders }: ApiContext,
  position: bigint,
  wanted: Durability | null,
  projector?: Projector,
): Promise<Durability> {
  const durability = await services.waitUntilDurable(position, wanted ?? 'PROJECTED', projector);
  loaders.forget();
  return durability;
}

/** The context of a command that this request issues. */
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
