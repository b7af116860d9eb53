import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, MAX_BACKOFF_MS, MIN_BACKOFF_MS } from '../../src/domain/backoff.js';

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const failures = fc.integer({ min: 1, max: 10_000 });

describe('the wait after failures in a row', () => {
  it('is at most half a second after the first, and the maximum doubles with each, up to a minute', () => {
    const longest = Array.from({ length: 12 }, (_, i) => backoffMs(i + 1, 1));
    expect(longest).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000]);
  });

  it('is between a quarter of a second and the maximum', () => {
    fc.assert(
      fc.property(failures, chance, (count, random) => {
        const [wait, longest] = [backoffMs(count, random), backoffMs(count, 1)];
        expect(wait).toBeGreaterThanOrEqual(MIN_BACKOFF_MS);
        expect(wait).toBeLessThan(MAX_BACKOFF_MS);
        expect((wait - MIN_BACKOFF_MS) / (longest - MIN_BACKOFF_MS)).toBeCloseTo(random);
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
