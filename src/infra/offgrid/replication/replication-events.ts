import type { JsonObject } from '../../../domain/json.js';
import { keyringStream, type KeyRotated } from '../../../domain/keyring.js';
import { acknowledgementStream, replicationStream, type ReplicationFact } from '../../../domain/replication.js';
import { schemaVersionOf } from '../../../domain/upcast.js';
import type { EventLog, ExpectedRevision } from '../../eventlog/eventlog.js';
import type { Clock } from '../../platform/clock.js';
import { newId } from '../../platform/ids.js';
import type { Projector } from '../../projector/projector.js';
import type { Journal } from './ports.js';

/** How long the outbox may take to show a recorded event, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 10_000;

/** The actor of these events. */
const ACTOR = 'process:replicator';

/** Appends the facts that the replicator records. */
export class ReplicationEvents implements Journal {
  readonly #log: EventLog;
  readonly #outbox: Projector;
  readonly #clock: Clock;

  constructor(log: EventLog, outbox: Projector, clock: Clock) {
    this.#log = log;
    this.#outbox = outbox;
    this.#clock = clock;
  }

  async record(facts: readonly (ReplicationFact | KeyRotated)[]): Promise<void> {
    const at = this.#clock.now().toISOString();
    for (const fact of facts) {
      const position = await appendFact(this.#log, fact, { at, actor: ACTOR, correlationId: newId() });
      await this.#outbox.reaches(position, PROJECTED_TIMEOUT_MS);
    }
  }
}

/** Appends a fact to the stream it belongs to, and returns its position. @throws LogError as `append` does */
export async function appendFact(
  log: EventLog,
  fact: ReplicationFact | KeyRotated,
  by: { readonly at: string; readonly actor: string; readonly correlationId: string },
  expected: ExpectedRevision = 'any',
): Promise<bigint> {
  const { type, data } = fact;
  const metadata = { ...by, causationId: by.correlationId, schemaVersion: schemaVersionOf(type) };
  const stream = streamOf(fact);
  const event = { id: newId(), type, data: data as unknown as JsonObject, metadata };
  const { position } = await log.append(stream, [event], expected);
  return position;
}

function streamOf({ type, data: { origin } }: ReplicationFact | KeyRotated): string {
  switch (type) {
    case 'KeyRotated':
      return keyringStream(origin);
    case 'ReplicasAcknowledged':
      return acknowledgementStream(origin);
    case 'ReplicationPolicySet':
    case 'HostStateChanged':
      return replicationStream(origin);
  }
}
