import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { StreamNames } from '../../../../src/infra/eventlog/embedded/stream-names.js';

describe('the names of streams', () => {
  it.each([
    ['random', () => `job-${randomUUID()}`],
    ['counted', (i: number) => `job-${i}`],
    ['counted in the middle', (i: number) => `job-${i}-of-a-worker`],
  ])('have each that was added, and few others, when names are %s', (_what, name) => {
    const names = new StreamNames();
    const added = Array.from({ length: 100_000 }, (_, i) => name(i));
    for (const one of added) names.add(one);
    expect(added.every((one) => names.mayHave(one))).toBe(true);
    const others = Array.from({ length: 100_000 }, (_, i) => name(1_000_000 + i));
    expect(others.filter((one) => names.mayHave(one)).length).toBeLessThan(200);
  });

  it('have none at first', () => {
    expect(new StreamNames().mayHave('job-1')).toBe(false);
  });
});
