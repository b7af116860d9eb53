import type { RecordedEvent } from './event.js';

/** An event was written by a newer build than this one. It is not interpreted, because that would misreport what happened. */
export class NewerEventError extends Error {
  override readonly name = 'NewerEventError';
  readonly code = 'NEWER_EVENT';

  constructor({ type, metadata }: Pick<RecordedEvent, 'type' | 'metadata'>) {
    super(
      `An event of type ${type}, schema version ${metadata.schemaVersion}, was written by a newer build of Sheratan. Start that build, or a later one.`,
    );
  }
}

/**
 * Handles an event that an `evolve` has no case for; fails to compile where a known event type is missing.
 * @throws NewerEventError always
 */
export function newerEvent(event: never): never {
  throw new NewerEventError(event);
}
