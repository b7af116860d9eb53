import { describe, expect, it } from 'vitest';
import { reportOn } from '../../../src/infra/cli/verify.js';

describe('the report on a verification', () => {
  const found = {
    projection: 'missions',
    position: 7n,
    events: 6,
    skipped: 0,
    storedDigest: 'aa',
    replayedDigest: 'bb',
  };

  it('states that rows differ whenever their digests do, even when no differing row was found', () => {
    expect(reportOn(found)).toEqual({
      exitCode: 1,
      lines: [
        'missions: DIFFERS at position 7: no row that differs was found',
        '  digests   aa (stored), bb (replayed)',
        'Rebuild it from the log: sheratan replay missions',
      ],
    });
  });

  it('names the first difference', () => {
    const difference = { table: 'jobs', key: 'j', column: 'status', stored: 'PENDING', replayed: 'FAILED' };
    const { exitCode, lines } = reportOn({ ...found, skipped: 2, difference });
    expect(exitCode).toBe(1);
    expect(lines.slice(0, 3)).toEqual([
      "missions: DIFFERS at position 7, 2 skipped: first at jobs 'j', column status",
      '  stored    "PENDING"',
      '  replayed  "FAILED"',
    ]);
  });

  it('states that rows are equal when their digests are', () => {
    const { exitCode, lines } = reportOn({ ...found, replayedDigest: 'aa' });
    expect(exitCode).toBe(0);
    expect(lines).toEqual(['missions: equal at position 7 after 6 events', 'digest aa']);
  });
});
