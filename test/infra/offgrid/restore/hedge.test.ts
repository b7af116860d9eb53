import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { hedged, type Attempt } from '../../../../src/infra/offgrid/restore/hedge.js';
import { UsualTime } from '../../../../src/infra/offgrid/restore/usual-time.js';

/** An attempt that ends when the test ends it, or when it is aborted. */
function attempt() {
  const state = { isMade: false, isGivenUp: false, lateness: 0, end: (_value?: string, _error?: Error) => {} };
  const made: Attempt<string> = {
    isLate: (times) => state.lateness >= times,
    run: (signal) =>
      new Promise((resolve, reject) => {
        state.isMade = true;
        state.end = (value, error) => {
          if (error === undefined) resolve(value);
          else reject(error);
        };
        signal.addEventListener('abort', () => {
          state.isGivenUp = true;
          resolve(undefined);
        });
      }),
  };
  return Object.assign(state, { made });
}

/** Time passes with the event loop. */
const time = { sleep: () => turn() };
const turns = async () => {
  for (let i = 0; i < 5; i += 1) await turn();
};

function begun(count: number) {
  const attempts = Array.from({ length: count }, attempt);
  const outcome = hedged(
    attempts.map(({ made }) => made),
    time,
  );
  return { attempts, outcome, made: () => attempts.map(({ isMade }) => isMade) };
}

describe('attempts', () => {
  it('are made one after the other while they give nothing, and the first result ends them', async () => {
    const { attempts, outcome, made } = begun(3);
    await turns();
    expect(made()).toEqual([true, false, false]);
    attempts[0]!.end();
    await turns();
    expect(made()).toEqual([true, true, false]);
    attempts[1]!.end('b');
    expect(await outcome).toBe('b');
    expect(made()).toEqual([true, true, false]);
  });

  it('are two at a time when one is late; the slower is aborted once the other has given a result', async () => {
    const { attempts, outcome, made } = begun(3);
    await turns();
    attempts[0]!.lateness = 1;
    await turns();
    expect(made()).toEqual([true, true, false]);
    attempts[1]!.end('b');
    expect(await outcome).toBe('b');
    expect(attempts.map(({ isGivenUp }) => isGivenUp)).toEqual([true, false, false]);
  });

  it('are not three at a time: when two take twice as long, the older is aborted for the third', async () => {
    const { attempts, outcome, made } = begun(3);
    await turns();
    attempts[0]!.lateness = 2;
    await turns();
    attempts[1]!.lateness = 1;
    await turns();
    expect(made()).toEqual([true, true, false]);
    attempts[1]!.lateness = 2;
    await turns();
    expect(made()).toEqual([true, true, true]);
    expect(attempts.map(({ isGivenUp }) => isGivenUp)).toEqual([true, false, false]);
    attempts[2]!.end('c');
    expect(await outcome).toBe('c');
  });

  it('give nothing when none of them does, or when there are none', async () => {
    const { attempts, outcome } = begun(2);
    for (const { end } of attempts) {
      await turns();
      end();
    }
    attempts[1]!.end();
    expect(await outcome).toBeUndefined();
    expect(await hedged([], time)).toBeUndefined();
  });

  it('end with the error that one throws', async () => {
    const { attempts, outcome } = begun(2);
    await turns();
    attempts[0]!.end(undefined, new Error('It is broken.'));
    await expect(outcome).rejects.toThrow('It is broken.');
  });
});

describe('how long a host is waited for alone', () => {
  it('is five seconds, or three times what is usual for it', () => {
    const usual = new UsualTime();
    expect(usual.patienceMs).toBe(5_000);
    for (const ms of [100, 60_000, 200]) usual.add(ms);
    expect(usual.patienceMs).toBe(5_000);
    for (let i = 0; i < 15; i += 1) usual.add(4_000);
    expect(usual.patienceMs).toBe(12_000);
  });
});
