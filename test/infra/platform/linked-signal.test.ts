import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { firstOf, LinkedSignal } from '../../../src/infra/platform/linked-signal.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('a linked signal', () => {
  it('is aborted with any of the others, immediately if one is aborted already', () => {
    const [a, b] = [new AbortController(), new AbortController()];
    const linked = new LinkedSignal(a.signal, b.signal);
    expect(linked.signal.aborted).toBe(false);
    b.abort();
    expect(linked.signal.aborted).toBe(true);
    expect(new LinkedSignal(a.signal, b.signal).signal.aborted).toBe(true);
    expect(listeners(a.signal) + listeners(b.signal)).toBe(0);
  });

  it('leaves nothing behind once it is ended, or unlinked', () => {
    const { signal } = new AbortController();
    const [ended, unlinked] = [new LinkedSignal(signal), new LinkedSignal(signal)];
    expect(listeners(signal)).toBe(2);
    ended.end();
    unlinked.unlink();
    expect(listeners(signal)).toBe(0);
    expect([ended, unlinked].map((linked) => linked.signal.aborted)).toEqual([true, false]);
  });
});

describe('the first of several promises', () => {
  it('aborts the others, and leaves nothing behind', async () => {
    const { signal } = new AbortController();
    let calledOff = 0;
    const first = await firstOf(signal, (waiting) => [
      Promise.resolve('first'),
      new Promise((resolve) => {
        waiting.addEventListener('abort', () => {
          calledOff += 1;
          resolve('called off');
        });
      }),
    ]);
    expect(first).toBe('first');
    expect(calledOff).toBe(1);
    expect(listeners(signal)).toBe(0);
  });

  it('aborts them when it fails, too', async () => {
    const { signal } = new AbortController();
    const failing = firstOf(signal, () => [Promise.reject(new Error('no'))]);
    await expect(failing).rejects.toThrow('no');
    expect(listeners(signal)).toBe(0);
  });
});
