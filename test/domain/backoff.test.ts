import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, MAX_BACKOFF_MS } from '../../src/domain/backoff.js';

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const failures = fc.integer({ min: 1, max: 10_000 });

describe('the wait after failures in a row', () => {
  it('is at most a quarter of a second after the first, and doubles with each, up to a minute', () => {
    const longest = Array.from({ length: 12 }, (_, i) => backoffMs(i + 1, 1));
    expect(longest).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
  });

  it('is anywhere between nothing and the longest', () => {
    fc.assert(
      fc.property(failures, chance, (count, random) => {
        const wait = backoffMs(count, random);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThan(MAX_BACKOFF_MS);
        expect(wait).toBe(random * backoffMs(count, 1));
      }),
    );
  });

  it('never becomes less likely to be long', () => {
    fc.assert(
      fc.property(failures, chance, (count, random) => {
        expect(backoffMs(count + 1, random)).toBeGreaterThanOrEqual(backoffMs(count, random));
      }),
    );
  });
});
