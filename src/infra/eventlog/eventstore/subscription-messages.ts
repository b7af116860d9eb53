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

/** What a subscription holds ready before the server is made to wait, in events. */
const READY_EVENTS = 64;
/** Records the server looks through between two checkpoints: this many times its own window of 32. */
const CHECKPOINT_INTERVAL = 32;

/** What a subscription says, one thing after the other. */
export type SubscriptionMessage =
  | { readonly record: AnyRecord }
  /** Everything up to here has been looked through. It may lie where there is nothing yet. */
  | { readonly checkpoint: bigint }
  /** All that was there when it began has been said. */
  | { readonly caughtUp: true };

/**
 * Subscribes to the streams of these prefixes after a position (exclusive), and yields what is said, as much at a time as
 * is ready. Marks come in their place among the events: the client calls for them when they arrive, well before the
 * events in front of them have been taken. Ends by its signal, or with an error; a clean end by the server is one too.
 * @param prefixes at least one
 * @param isPatient whether there may be nothing to say for a long time
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

/** Puts a mark behind what came before it. What the client calls must not throw: the subscription would stall. */
function queue(subscription: AllStreamSubscription, mark: SubscriptionMessage): void {
  if (!subscription.readableEnded && !subscription.destroyed) subscription.push(mark);
}

function toMessages(items: readonly (SubscriptionMessage | AllStreamResolvedEvent)[]): SubscriptionMessage[] {
  const said: SubscriptionMessage[] = [];
  for (const item of items) {
    if ('checkpoint' in item || 'caughtUp' in item) said.push(item);
    else if ('event' in item && item.event !== undefined) said.push({ record: item.event });
  }
  return said;
}
