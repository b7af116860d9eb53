import { describe, expect, it } from 'vitest';
import { Waiters } from '../../../src/infra/projector/waiters.js';

const LONG_MS = 10_000;

describe('waiters', () => {
  it('resolve true when their position, or a later one, is reached', async () => {
    const waiters = new Waiters();
    const waiting = [waiters.wait(3n, LONG_MS), waiters.wait(5n, LONG_MS)];
    waiters.reached(5n);
    expect(await Promise.all(waiting)).toEqual([true, true]);
  });

  it('wait while it is not reached', async () => {
    const waiters = new Waiters();
    const waiting = waiters.wait(5n, 50);
    waiters.reached(4n);
    expect(await waiting).toBe(false);
  });

  it('resolve false when dismissed', async () => {
    const waiters = new Waiters();
    const waiting = waiters.wait(5n, LONG_MS);
    waiters.dismiss();
    waiters.reached(5n);
    expect(await waiting).toBe(false);
  });
});
