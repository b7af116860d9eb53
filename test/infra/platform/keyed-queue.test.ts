import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from '../../../src/infra/platform/keyed-queue.js';

describe('turns', () => {
  it('come one after the other under one key, in the order they were asked for', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} begins`);
      await delay(1);
      order.push(`${name} ends`);
      return name;
    };
    const done = await Promise.all(['a', 'b', 'c'].map((name) => turns.take('key', work(name))));
    expect(done).toEqual(['a', 'b', 'c']);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('come side by side under different keys', async () => {
    const turns = new Turns();
    let release = (): void => {};
    const held = turns.take('held', () => new Promise<void>((resolve) => (release = resolve)));
    expect(await turns.take('free', () => Promise.resolve('done'))).toBe('done');
    release();
    await held;
  });

  it('come also after one that failed, which fails alone', async () => {
    const turns = new Turns();
    const failing = turns.take('key', () => Promise.reject(new Error('failed')));
    const next = turns.take('key', () => Promise.resolve('done'));
    await expect(failing).rejects.toThrow('failed');
    expect(await next).toBe('done');
    expect(await turns.take('key', () => Promise.resolve('again'))).toBe('again');
  });

  it('are refused under a key for which 1,000 wait already, and given again afterwards', async () => {
    const turns = new Turns();
    let release = (): void => {};
    const held = turns.take('key', () => new Promise<void>((resolve) => (release = resolve)));
    const waiting = Array.from({ length: 1_000 }, (_, i) => turns.take('key', () => Promise.resolve(i)));
    await expect(turns.take('key', () => Promise.resolve())).rejects.toMatchObject({
      name: 'TooManyWaiting',
      waiting: 1_000,
    });
    expect(await turns.take('free', () => Promise.resolve('done'))).toBe('done');
    release();
    await held;
    expect(await Promise.all(waiting)).toHaveLength(1_000);
    expect(await turns.take('key', () => Promise.resolve('again'))).toBe('again');
  });
});
