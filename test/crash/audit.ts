import type { RecordedEvent } from '../../src/domain/event.js';
import { EVENT_OF, type Ledger, type Request } from './ledger.js';
import { replicatedOf } from './replicas.js';

/** Compares a log with the answers that clients received; a log that it has seen before must continue from there. */
export class Audit {
  #before: readonly string[] = [];
  /** How many answers were found to be REPLICATED. */
  #replicated = 0;

  /** What is wrong, as text. */
  check(events: readonly RecordedEvent[], ledger: Ledger): string[] {
    const now = events.map(({ position, stream, revision, id }) => `${position} ${stream} ${revision} ${id}`);
    const changed = this.#before.filter((event, i) => event !== now[i]).map((event) => `changed or gone: ${event}`);
    this.#before = now;
    const { recorded, wrong } = attribute(events, ledger);
    const broken = ledger.requests.flatMap((request) => brokenPromises(request, recorded.get(request) ?? []));
    return [
      ...changed,
      ...misplaced(events),
      ...wrong,
      ...broken,
      ...this.#claimed(events, ledger),
      ...ledger.surprises,
    ];
  }

  /** What was answered as REPLICATED was on every host by then, with all events before it. */
  #claimed(events: readonly RecordedEvent[], { replicated }: Ledger): string[] {
    const fresh = replicated.slice(this.#replicated);
    this.#replicated = replicated.length;
    if (fresh.length === 0) return [];
    const expected = replicatedOf(events);
    return fresh.flatMap(({ position, held }) => {
      const sequence = expected.filter((event) => event.position <= position).length;
      return held.every((count) => count >= sequence)
        ? []
        : [`${position} is event ${sequence} and was answered as REPLICATED when hosts had ${held.join(' and ')}`];
    });
  }
}

/** Positions ascend, revisions have no gaps, ids are unique. */
function misplaced(events: readonly RecordedEvent[]): string[] {
  const wrong: string[] = [];
  const ids = new Set<string>();
  const revisions = new Map<string, bigint>();
  let last = 0n;
  for (const { position, stream, revision, id } of events) {
    const expected = (revisions.get(stream) ?? -1n) + 1n;
    if (position <= last) wrong.push(`position ${position} after ${last}`);
    if (revision !== expected) wrong.push(`${stream} continues with revision ${revision} instead of ${expected}`);
    if (ids.has(id)) wrong.push(`event ${id} is recorded twice`);
    ids.add(id);
    revisions.set(stream, revision);
    last = position;
  }
  return wrong;
}

/** Finds the request behind each event: one that was sent, or an action of a process. */
function attribute(events: readonly RecordedEvent[], ledger: Ledger) {
  const senders = new Map(ledger.requests.flatMap((request) => request.sent.map((id) => [id, request] as const)));
  const recorded = new Map<Request, RecordedEvent[]>();
  const wrong: string[] = [];
  const claims = new Claims();
  for (const event of events) {
    wrong.push(...claims.follow(event, senders.get(event.metadata.correlationId)));
    const { actor, correlationId, idempotency } = event.metadata;
    if (actor.startsWith('process:')) continue;
    const request = senders.get(correlationId);
    if (request === undefined) {
      wrong.push(`no request explains ${event.type} at ${event.position} (${correlationId})`);
      continue;
    }
    if (event.type !== EVENT_OF[request.name]) wrong.push(`${request.name} recorded ${event.type}`);
    if (idempotency?.key !== request.key) wrong.push(`${request.name} lost its key at ${event.position}`);
    wrong.push(...invented(event, request));
    const found = recorded.get(request);
    if (found === undefined) recorded.set(request, [event]);
    else found.push(event);
  }
  return { recorded, wrong };
}

/** The event has the input of its request. */
function invented({ position, type, data, stream }: RecordedEvent, { input }: Request): string[] {
  const { id, limit: _, leaseSeconds: __, worker, ...fields } = input;
  const other = Object.entries(fields).filter(([name, value]) => JSON.stringify(data[name]) !== JSON.stringify(value));
  const wrong = other.map(([name]) => `${type} at ${position} has another ${name} than was asked`);
  if (typeof id === 'string' && !stream.endsWith(`-${id}`)) wrong.push(`${type} at ${position} is of another stream`);
  // A failure does not name its worker; its attempt was that worker's.
  if (type !== 'JobFailed' && data['worker'] !== worker) wrong.push(`${type} at ${position} is of another worker`);
  return wrong;
}

/**
 * Counts the open attempts of each claim. A repeated claim gets the jobs that it still holds; when it holds none, because
 * their leases expired, it gets others. So the limit applies to what it holds at one time.
 */
class Claims {
  readonly #holders = new Map<string, Request>();
  readonly #held = new Map<Request, number>();

  follow({ type, stream, position }: RecordedEvent, request: Request | undefined): string[] {
    if (type === 'JobFailed') this.#count(stream, undefined);
    if (type !== 'JobDispatched' || request === undefined) return [];
    this.#count(stream, request);
    const held = this.#held.get(request) ?? 0;
    return held > Number(request.input['limit']) ? [`a claim holds ${held} jobs at ${position}`] : [];
  }

  #count(stream: string, holder: Request | undefined): void {
    const before = this.#holders.get(stream);
    if (before !== undefined) this.#held.set(before, (this.#held.get(before) ?? 0) - 1);
    this.#holders.delete(stream);
    if (holder === undefined) return;
    this.#holders.set(stream, holder);
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + 1);
  }
}

/** Answered: recorded once, at the place in the answer. Refused: not recorded. Not answered: recorded once or not at all. */
function brokenPromises({ name, key, sent, answer }: Request, events: readonly RecordedEvent[]): string[] {
  const what = `${name} ${key ?? sent.join()}`;
  if (name !== 'claimJobs' && events.length > 1) return [`${what} is recorded ${events.length} times`];
  if (answer === undefined) return [];
  if ('refused' in answer) return events.length === 0 ? [] : [`${what} was refused and is recorded`];
  const { places } = answer;
  // The answer to a repeated claim has the jobs as they are by then.
  const isExact = name !== 'claimJobs' || sent.length === 1;
  if (isExact && places.length !== events.length)
    return [`${what} was answered with ${places.length} events; ${events.length} are recorded`];
  return places.flatMap(({ stream, revision, position }) => {
    const found = events.some((event) => {
      if (event.stream !== stream) return false;
      if (isExact) return event.revision === revision && event.position === position;
      return event.revision <= revision && event.position <= position;
    });
    return found ? [] : [`${what} was answered with ${stream} ${revision} ${position}, which is not recorded`];
  });
}
