import { expect, it } from 'vitest';
import { statusChanges } from '../../../../src/infra/graphql/kit/status-changes.js';
import { Nudge } from '../../../../src/infra/platform/nudge.js';

/** A status that changes to its next value as soon as the one before has been read. */
function statusOf(values: number) {
  const changed = new Nudge();
  let value = 1;
  const read = (): Promise<number> => {
    const status = value;
    if (value < values) {
      value += 1;
      changed.notify();
    }
    return Promise.resolve(status);
  };
  return { read, changed: (signal: AbortSignal) => changed.wait(signal) };
}

it('returns a change that happened while the previous status was read', async () => {
  const { read, changed } = statusOf(3);
  const received: number[] = [];
  for await (const status of statusChanges(read, changed, AbortSignal.timeout(10_000))) {
    received.push(status);
    if (status === 3) break;
  }
  expect(received).toEqual([1, 2, 3]);
});
