import type { RecordedEvent } from './event.js';

/** An event was written by a newer build than this one: reading it as something else would misreport what happened. */
export class NewerEventError extends Error {
  override readonly name = 'NewerEventError';
  readonly code = 'NEWER_EVENT';

  constructor({ type, metadata }: Pick<RecordedEvent, 'type' | 'metadata'>) {
    super(
      `An event of type ${type}, schema version ${metadata.schemaVersion}, was written by a newer build of Sheratan. Start that build, or a later one.`,
    );
  }
}

/** What an `evolve` does with an event that it has no case for; fails to compile where one of today's is missing. */
export function newerEvent(event: never): never {
  throw new NewerEventError(event);
}
