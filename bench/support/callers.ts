import type { Prepared } from './rows.js';

/** Callers append the events, each those of its own streams, and each waits for an answer before its next append. */
export async function inTurns(
  events: readonly Prepared[],
  callers: number,
  append: (prepared: Prepared) => Promise<unknown>,
): Promise<void> {
  const call = async (caller: number) => {
    for (let i = caller; i < events.length; i += callers) await append(events[i]!);
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
}
