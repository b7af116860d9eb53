import { describe, expect, it } from 'vitest';
import { Random } from '../support/random.js';
import { FAMILIES } from './scenery.js';
import { digestOf, simulate } from './simulate.js';
import { VirtualClock } from './virtual-time.js';

const OPTIONS = { timeout: 120_000 };

describe('a seed', () => {
  it('runs twice in the same way, and succeeds with real signatures and sizes', OPTIONS, async () => {
    for (const [i, family] of FAMILIES.entries()) {
      const [first, second] = [
        await simulate(i + 1, { family, isTraced: true }),
        await simulate(i + 1, { family, isTraced: true }),
      ];
      expect([family, first.failure]).toEqual([family, undefined]);
      expect([family, digestOf(second)]).toEqual([family, digestOf(first)]);
    }
  });

  it('has the same outcome with a trace and without one', OPTIONS, async () => {
    const [first, second] = [await simulate(7), await simulate(7, { isTraced: true })];
    expect([first.counts, first.ending]).toEqual([second.counts, second.ending]);
  });

  it('differs from the next', OPTIONS, async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3, 4]) digests.add(digestOf(await simulate(seed, { isTraced: true })));
    expect(digests.size).toBe(4);
  });

  it('without troubles ends with everything replicated, and halts no core', OPTIONS, async () => {
    for (const seed of [1, 2, 3]) {
      const { failure, counts } = await simulate(seed, { family: 'F0', isCalm: true });
      expect([seed, failure, counts['stops']]).toEqual([seed, undefined, 0]);
    }
  });
});

describe('the virtual clock', () => {
  it('runs what is due in the order of time, with all that follows from it before the next instant', async () => {
    const clock = new VirtualClock(new Random(1));
    const begun = clock.now;
    const done: string[] = [];
    const later = async (name: string) => {
      done.push(`${name} ${clock.now - begun}`);
      for (let i = 0; i < 50; i += 1) await Promise.resolve();
      done.push(`${name} still ${clock.now - begun}`);
    };
    clock.after(20, () => void later('second'));
    clock.after(10, () => void later('first'));
    clock.after(15, () => done.push('never'))();
    await clock.run(100);
    expect(done).toEqual(['first 10', 'first still 10', 'second 20', 'second still 20']);
    expect(clock.now - begun).toBe(100);
  });

  it('lets the seed decide the order of what is due at the same instant', async () => {
    const orderOf = async (seed: number) => {
      const clock = new VirtualClock(new Random(seed));
      const done: number[] = [];
      for (let i = 0; i < 10; i += 1) clock.after(5, () => done.push(i));
      await clock.run(5);
      return done.join();
    };
    expect(await orderOf(1)).toBe(await orderOf(1));
    expect(await orderOf(1)).not.toBe(await orderOf(2));
  });
});
