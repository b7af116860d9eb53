import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { KeyedQueue } from '../../../src/infra/platform/keyed-queue.js';

const full = (waiting: string) => new Error(`${waiting} wait`);

describe('a keyed queue', () => {
  it('runs work with one key one after the other, in the order of arrival', async () => {
    const queue = new KeyedQueue();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} begins`);
      await delay(1);
      order.push(`${name} ends`);
      return name;
    };
    const done = await Promise.all(['a', 'b', 'c'].map((name) => queue.run('key', work(name), full)));
    expect(done).toEqual(['a', 'b', 'c']);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('runs work with different keys concurrently', async () => {
    const queue = new KeyedQueue();
    let release = (): void => {};
    const held = queue.run('held', () => new Promise<void>((resolve) => (release = resolve)), full);
    expect(await queue.run('free', () => Promise.resolve('done'), full)).toBe('done');
    release();
    await held;
  });

  it('continues after work that failed', async () => {
    const queue = new KeyedQueue();
    const failing = queue.run('key', () => Promise.reject(new Error('failed')), full);
    const next = queue.run('key', () => Promise.resolve('done'), full);
    await expect(failing).rejects.toThrow('failed');
    expect(await next).toBe('done');
    expect(await queue.run('key', () => Promise.resolve('again'), full)).toBe('again');
  });

  it('refuses work with a key for which 1,000 already wait, and accepts it again afterwards', async () => {
    const queue = new KeyedQueue();
    let release = (): void => {};
    const held = queue.run('key', () => new Promise<void>((resolve) => (release = resolve)), full);
    const waiting = Array.from({ length: 1_000 }, (_, i) => queue.run('key', () => Promise.resolve(i), full));
    await expect(queue.run('key', () => Promise.resolve(), full)).rejects.toThrow('1,000 wait');
    expect(await queue.run('free', () => Promise.resolve('done'), full)).toBe('done');
    release();
    await held;
    expect(await Promise.all(waiting)).toHaveLength(1_000);
    expect(await queue.run('key', () => Promise.resolve('again'), full)).toBe('again');
  });
});
