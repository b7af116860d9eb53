/** Who asks for a command, and how. */
export interface CommandContext {
  /** A role, a worker, or a process of Sheratan's own. */
  readonly actor: string;
  /** Names the request. */
  readonly correlationId: string;
  /** Makes the command safe to send again: the same key and input answer with the first result. */
  readonly idempotencyKey?: string | undefined;
  /** The revision the caller has seen; anything else is a conflict. */
  readonly expectedRevision?: bigint | undefined;
  /** The command's time, ISO 8601; now unless it is taken over from elsewhere (an import). */
  readonly at?: string | undefined;
}

/** The longest idempotency key, in characters. */
export const MAX_IDEMPOTENCY_KEY_LENGTH = 200;
