import {
  START,
  streamNameFilter,
  type AllStreamResolvedEvent,
  type AllStreamSubscription,
  type EventStoreDBClient,
  type ReadPosition,
} from '@eventstore/db-client';
import type { AnyRecord } from './event-codec.js';
import { Ended } from './failures.js';
import { readableChunks } from './readable-chunks.js';
import { ANSWER_MS } from './reconnecting-client.js';

/** The events that a subscription buffers before the server must wait. */
const READY_EVENTS = 64;
/** The interval of checkpoints, in units of 32 records that the server scans. */
const CHECKPOINT_INTERVAL = 32;

/** A message of a subscription. */
export type SubscriptionMessage =
  | { readonly record: AnyRecord }
  /** The server has scanned all records up to this position, which may not have a record yet. */
  | { readonly checkpoint: bigint }
  /** All records that existed when the subscription began have been delivered. */
  | { readonly caughtUp: true };

/**
 * Subscribes to the streams with these prefixes after a position (exclusive), and yields the messages, all that are ready
 * at a time. Checkpoints and `caughtUp` keep their place among the events, although the client's callbacks for them run on
 * arrival, well before the events in front of them are read. Ends on its signal, or with an error, also if the server ends it.
 * @param prefixes at least one
 * @param isPatient whether the server may be silent without a limit
 * @throws Ended when the server ends the subscription; NoAnswer; the client's error
 */
export async function* subscriptionMessages(
  client: EventStoreDBClient,
  after: bigint,
  prefixes: string[],
  signal: AbortSignal,
  isPatient: boolean,
): AsyncIterable<SubscriptionMessage[]> {
  const filter = streamNameFilter({
    prefixes,
    checkpointInterval: CHECKPOINT_INTERVAL,
    checkpointReached: (subscription, { commit }) => queue(subscription, { checkpoint: commit }),
  });
  const fromPosition: ReadPosition = after === 0n ? START : { commit: after, prepare: after };
  const options = { fromPosition, filter, requiresLeader: true };
  const subscription = client.subscribeToAll(options, { highWaterMark: READY_EVENTS });
  subscription.on('caughtUp', () => queue(subscription, { caughtUp: true }));
  let isConfirmed = false;
  subscription.on('confirmation', () => {
    isConfirmed = true;
  });
  const items = readableChunks<SubscriptionMessage | AllStreamResolvedEvent>(subscription, {
    signal,
    answerMs: ANSWER_MS,
    isPatient: () => isPatient && isConfirmed,
    cancel: () => subscription.unsubscribe(),
  });
  for await (const some of items) yield toMessages(some);
  if (!signal.aborted) throw new Ended();
}

/** Puts a mark behind the events before it. This must not throw, because an error in a callback stalls the subscription. */
function queue(subscription: AllStreamSubscription, mark: SubscriptionMessage): void {
  if (!subscription.readableEnded && !subscription.destroyed) subscription.push(mark);
}

function toMessages(items: readonly (SubscriptionMessage | AllStreamResolvedEvent)[]): SubscriptionMessage[] {
  const messages: SubscriptionMessage[] = [];
  for (const item of items) {
    if ('checkpoint' in item || 'caughtUp' in item) messages.push(item);
    else if ('event' in item && item.event !== undefined) messages.push({ record: item.event });
  }
  return messages;
}
