import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterHeartbeat,
  afterRestart,
  GRACE_S,
  HEARTBEAT_S,
  NEW_HOST_SCORE,
  SCORE_HALF_LIFE_S,
  scoreAt,
  stateAt,
  type Heartbeats,
} from '../../../../src/infra/offgrid/broker/score.js';

const START = 1_800_000_000;

/** A host heard at these times after START. */
function heardAt(...times: number[]): Heartbeats {
  return times.reduce<Heartbeats>(
    (before, time) => afterHeartbeat(before, START + time),
    afterHeartbeat(undefined, START),
  );
}

function every(seconds: number, until: number): number[] {
  return Array.from({ length: Math.floor(until / seconds) }, (_, index) => (index + 1) * seconds);
}

describe('the score of a host', () => {
  it('is always between 0 and 1, even when the clock jumps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -5_000, max: 20_000 })),
        fc.integer({ min: -100, max: 1e9 }),
        (gaps, later) => {
          let time = START;
          let host = afterHeartbeat(undefined, time);
          for (const gap of gaps) host = afterHeartbeat(host, (time += gap));
          const score = scoreAt(host, time + later);
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('begins at 0.5 and approaches 1 while heartbeats arrive', () => {
    expect(heardAt().score).toBe(NEW_HOST_SCORE);
    expect(heardAt(...every(HEARTBEAT_S, SCORE_HALF_LIFE_S)).score).toBeCloseTo(0.75, 9);
    expect(heardAt(...every(HEARTBEAT_S, 3_600)).score).toBeGreaterThan(0.999);
  });

  it('does not rise by additional heartbeats', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 599 }), { maxLength: 50 }), (more) => {
        const regular = every(HEARTBEAT_S, 600);
        const many = [...new Set([...regular, ...more])].sort((a, b) => a - b);
        expect(heardAt(...many).score).toBeCloseTo(heardAt(...regular).score, 9);
      }),
    );
  });

  it('halves with every half-life of silence', () => {
    const host = heardAt(...every(HEARTBEAT_S, 36_000));
    const silentFrom = host.lastSeen + GRACE_S;
    expect(scoreAt(host, silentFrom + SCORE_HALF_LIFE_S)).toBeCloseTo(0.5, 6);
    expect(scoreAt(host, silentFrom + 10 * SCORE_HALF_LIFE_S)).toBeLessThan(0.001);
  });

  it('is lower for a host that keeps every other heartbeat', () => {
    const flapping = heardAt(...every(2 * HEARTBEAT_S, 36_000)).score;
    expect(flapping).toBeCloseTo(0.75, 1);
  });

  it('does not fall while the broker was not running', () => {
    const host = heardAt(...every(HEARTBEAT_S, 600));
    const restarted = afterRestart(host, host.lastSeen, host.lastSeen + 86_400);
    expect(scoreAt(restarted, host.lastSeen + 86_400)).toBe(host.score);
    expect(afterHeartbeat(restarted, host.lastSeen + 86_400 + HEARTBEAT_S).score).toBe(host.score);
    // After that, missed heartbeats count again.
    expect(scoreAt(restarted, host.lastSeen + 86_400 + 3_600)).toBeLessThan(0.001);
  });

  it('keeps over a restart what a host lost while other hosts were heard', () => {
    const host = heardAt(...every(HEARTBEAT_S, 600));
    const lastHeard = host.lastSeen + GRACE_S + SCORE_HALF_LIFE_S;
    expect(afterRestart(host, lastHeard, lastHeard + 100).score).toBeCloseTo(scoreAt(host, lastHeard), 9);
    expect(afterRestart(host, lastHeard, lastHeard + 100).score).toBeLessThan(host.score / 1.9);
  });
});

describe('the state of a host', () => {
  it.each([
    [0, 'active'],
    [3 * HEARTBEAT_S, 'active'],
    [3 * HEARTBEAT_S + 1, 'lost'],
    [-3_600, 'lost'],
  ])('%d s after its last heartbeat is %s', (passed, state) => {
    expect(stateAt(heardAt(), START + passed)).toBe(state);
  });
});
