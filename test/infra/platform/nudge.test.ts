import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Nudge } from '../../../src/infra/platform/nudge.js';
import { isPending } from '../sqlite/support.js';

const never = new AbortController().signal;

describe('a nudge', () => {
  it('wakes all waiters', async () => {
    const nudge = new Nudge();
    const waiting = [nudge.wait(never), nudge.wait(never)];
    nudge.notify();
    expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
  });

  it('does not wake code that begins to wait afterwards', async () => {
    const nudge = new Nudge();
    nudge.notify();
    const waiting = nudge.wait(never);
    expect(await isPending(waiting)).toBe(true);
    nudge.notify();
    await waiting;
  });

  it('wakes each of them once, even one who waits again when woken', async () => {
    const nudge = new Nudge();
    let woken = 0;
    const again = async () => {
      for (;;) {
        await nudge.wait(never);
        woken += 1;
      }
    };
    void again();
    nudge.notify();
    await isPending(new Promise(() => {}));
    expect(woken).toBe(1);
  });

  it('is not waited for after the signal is aborted', async () => {
    const controller = new AbortController();
    const waiting = new Nudge().wait(controller.signal);
    expect(await isPending(waiting)).toBe(true);
    controller.abort();
    await waiting;
  });

  it('is not waited for at all when the signal is already aborted', async () => {
    await expect(new Nudge().wait(AbortSignal.abort())).resolves.toBeUndefined();
  });

  it('leaves no listeners on the signals of woken waiters', async () => {
    const controller = new AbortController();
    const nudge = new Nudge();
    for (let i = 0; i < 20; i += 1) {
      const waiting = nudge.wait(controller.signal);
      nudge.notify();
      await waiting;
    }
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});
