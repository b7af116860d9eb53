import { describe, expect, it } from 'vitest';
import { verify } from '../../../src/infra/projector/verify.js';
import { append, newFolder, Running, tally } from './support.js';

/** A projection whose handler throws on the events at these positions. */
function throwingAt(...positions: readonly bigint[]) {
  const broken = new Set(positions);
  const tries: bigint[] = [];
  const projection = tally({
    onFold: ({ position }) => {
      if (!broken.has(position)) return;
      tries.push(position);
      throw new Error(`cannot fold ${String(position)}`);
    },
  });
  return { projection, broken, tries };
}

async function skipsIn(running: Running, slot = 'live'): Promise<unknown> {
  const sql = 'SELECT skipped FROM generations WHERE slot = ?';
  const [row] = await running.projector.file.read((connection) => connection.all(sql, [slot]));
  return JSON.parse(String(row?.['skipped']));
}

describe('a projection whose handler throws', () => {
  it('resolves present and later waits for more events with false', async () => {
    const running = await Running.begin(throwingAt(4n).projection);
    const waiting = running.projector.reaches(10n, 3_600_000);
    await append(running.log, 10);
    expect(await waiting).toBe(false);
    expect(await running.projector.reaches(4n, 3_600_000)).toBe(false);
    expect(await running.projector.reaches(3n, 3_600_000)).toBe(true);
  });

  it('is HALTED, and shows the event and the error', async () => {
    const running = await Running.begin(throwingAt(4n).projection);
    const head = await append(running.log, 10);
    const status = await running.state('HALTED');
    const { value: event } = await running.log.readAll({ after: 3n })[Symbol.asyncIterator]().next();
    expect(status).toMatchObject({ position: 3n, head, etaSeconds: null, generation: 1 });
    expect(status.error).toEqual({
      code: 'FOLD_FAILED',
      position: 4n,
      eventId: event?.id,
      type: 'MissionUpdated',
      message: 'cannot fold 4',
    });
    expect(running.logged).toEqual(['projection halted']);
  });

  it('keeps the earlier events, also of the same batch, and no later ones', async () => {
    const running = await Running.begin(throwingAt(1_234n).projection);
    await append(running.log, 2_000);
    await running.state('HALTED');
    expect(await running.rows()).toEqual([{ id: 'mission-a', count: 1_233, last: '1233', position: 1_233 }]);
    expect(running.projector.position).toBe(1_233n);
  });

  it('does not report that it reached later events', async () => {
    const running = await Running.begin(throwingAt(2n).projection);
    await append(running.log, 2);
    await running.state('HALTED');
    expect(await running.projector.reaches(1n, 50)).toBe(true);
    expect(await running.projector.reaches(2n, 50)).toBe(false);
  });

  it('remains HALTED when more is appended', async () => {
    const { projection, tries } = throwingAt(2n);
    const running = await Running.begin(projection);
    await append(running.log, 2);
    await running.state('HALTED');
    await append(running.log, 5);
    expect(await running.projector.reaches(3n, 200)).toBe(false);
    expect(tries).toEqual([2n]);
    expect((await running.projector.status()).state).toBe('HALTED');
  });

  it('can halt on the very first event', async () => {
    const running = await Running.begin(throwingAt(1n).projection);
    await append(running.log, 1);
    expect(await running.state('HALTED')).toMatchObject({ position: 0n, error: { position: 1n } });
    expect(await running.rows()).toEqual([]);
  });

  it('halts again on the same event after a restart, until its handler is fixed', async () => {
    const running = await Running.begin(throwingAt(4n).projection);
    await append(running.log, 10);
    await running.state('HALTED');
    await running.restart(throwingAt(4n).projection);
    expect((await running.state('HALTED')).error?.position).toBe(4n);
    await running.restart(tally());
    await running.caughtUp();
    expect((await running.state('LIVE')).error).toBeNull();
    expect(await running.total()).toBe(10);
  });
});

describe('resuming', () => {
  it('is refused when nothing halted', async () => {
    const running = await Running.begin();
    expect(await running.projector.resume(false)).toEqual({ refused: 'The projection is not halted.' });
    expect(await running.projector.resume(true)).toEqual({ refused: 'The projection is not halted.' });
    expect(await skipsIn(running)).toEqual([]);
  });

  it('tries the event again, and halts on it again while it cannot be folded', async () => {
    const { projection, tries } = throwingAt(4n);
    const running = await Running.begin(projection);
    await append(running.log, 10);
    await running.state('HALTED');
    expect(await running.projector.resume(false)).toBeUndefined();
    await running.state('HALTED');
    expect(tries).toEqual([4n, 4n]);
    expect(await running.total()).toBe(3);
  });

  it('continues from that event when it can be folded now', async () => {
    const { projection, broken } = throwingAt(4n);
    const running = await Running.begin(projection);
    await append(running.log, 10);
    await running.state('HALTED');
    broken.clear();
    await running.projector.resume(false);
    await running.caughtUp();
    expect((await running.state('LIVE')).error).toBeNull();
    expect(await running.total()).toBe(10);
    expect(await skipsIn(running)).toEqual([]);
  });

  it('can skip the event, and records that', async () => {
    const running = await Running.begin(throwingAt(4n, 6n).projection);
    await append(running.log, 10);
    await running.state('HALTED');
    await running.projector.resume(true);
    expect((await running.state('HALTED')).error?.position).toBe(6n);
    await running.projector.resume(true);
    await running.caughtUp();
    expect(await running.total()).toBe(8);
    expect(await skipsIn(running)).toEqual(['4', '6']);
  });

  it('records a skipped event once, even when it is skipped several times', async () => {
    const running = await Running.begin(throwingAt(4n).projection);
    await append(running.log, 5);
    await running.state('HALTED');
    await Promise.all([running.projector.resume(true), running.projector.resume(true)]);
    await running.caughtUp();
    expect(await skipsIn(running)).toEqual(['4']);
  });
});

describe('an event that was skipped', () => {
  async function runningPast4() {
    const { projection, tries } = throwingAt(4n);
    const running = await Running.begin(projection);
    await append(running.log, 10);
    await running.state('HALTED');
    await running.projector.resume(true);
    await running.caughtUp();
    return { running, projection, tries };
  }

  it('is skipped by a verification too, which reports it', async () => {
    const { running, projection } = await runningPast4();
    const result = await verify(running.path, projection, running.log, await newFolder());
    expect(result).toMatchObject({ position: 10n, events: 9, skipped: 1 });
    expect(result.replayedDigest).toBe(result.storedDigest);
    expect(result.difference).toBeUndefined();
    // Proof that it matters: with a handler that would fold it, the replay still leaves it out.
    const fixed = await verify(running.path, tally(), running.log, await newFolder());
    expect(fixed.replayedDigest).toBe(result.storedDigest);
  });

  it('remains skipped after a restart', async () => {
    const { running, projection, tries } = await runningPast4();
    await running.restart(projection);
    await append(running.log, 1);
    await running.caughtUp();
    expect(await running.total()).toBe(10);
    expect(tries).toEqual([4n]);
  });

  it('remains skipped in a rebuild of the same version', async () => {
    const { running, tries } = await runningPast4();
    const before = await running.projector.digest();
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect(await running.projector.status()).toMatchObject({ generation: 2, error: null });
    expect(await running.projector.digest()).toEqual(before);
    expect(tries).toEqual([4n]);
  });

  it('is folded by a new version, which has other handlers', async () => {
    const { running } = await runningPast4();
    await running.restart(tally({ version: 2 }));
    await running.projector.rebuilt();
    await running.caughtUp();
    expect(await running.total()).toBe(10);
    expect(await skipsIn(running)).toEqual([]);
  });
});

describe('a rebuild whose handler throws', () => {
  /** Its rebuild cannot fold an event that the live tables already include. */
  async function halfRebuilt() {
    const fold = throwingAt();
    const running = await Running.begin(fold.projection);
    await append(running.log, 10);
    await running.caughtUp();
    fold.broken.add(4n);
    expect(running.projector.rebuild()).toBeUndefined();
    await running.projector.rebuilt();
    return { running, ...fold };
  }

  it('halts with the event, while the live tables still follow the log', async () => {
    const { running } = await halfRebuilt();
    expect(await running.projector.status()).toMatchObject({ state: 'HALTED', error: { position: 4n }, generation: 1 });
    await append(running.log, 5);
    await running.caughtUp();
    expect(await running.total()).toBe(15);
  });

  it('continues from there when resumed after a fix', async () => {
    const { running, broken } = await halfRebuilt();
    broken.clear();
    await running.projector.resume(false);
    await running.projector.rebuilt();
    expect(await running.projector.status()).toMatchObject({ generation: 2, error: null });
    expect(await running.total()).toBe(10);
    expect(await running.tables()).toEqual(['tallies', 'tallies__prev']);
  });

  it('can skip the event, only in the new tables', async () => {
    const { running, projection } = await halfRebuilt();
    await running.projector.resume(true);
    await running.projector.rebuilt();
    expect(await running.total()).toBe(9);
    expect(await skipsIn(running, 'live')).toEqual(['4']);
    expect(await skipsIn(running, 'prev')).toEqual([]);
    const result = await verify(running.path, projection, running.log, await newFolder());
    expect(result).toMatchObject({ skipped: 1 });
    expect(result.replayedDigest).toBe(result.storedDigest);
  });

  it('can be cancelled', async () => {
    const { running } = await halfRebuilt();
    expect(await running.projector.cancelRebuild()).toBeUndefined();
    expect(await running.state('LIVE')).toMatchObject({ generation: 1, error: null });
    expect(await running.tables()).toEqual(['tallies']);
  });

  it('skips events that the live tables skipped meanwhile', async () => {
    const fold = throwingAt();
    const running = await Running.begin(fold.projection);
    await append(running.log, 10);
    await running.caughtUp();
    // The rebuild halts before the live tables meet the event that neither can fold.
    fold.broken.add(4n);
    fold.broken.add(12n);
    running.projector.rebuild();
    await running.projector.rebuilt();
    await append(running.log, 5);
    await running.status(({ error }) => error?.position === 12n);
    await running.projector.resume(true);
    await running.status(({ error, state }) => state === 'HALTED' && error?.position === 4n);
    await running.caughtUp();
    await running.projector.resume(true);
    await running.projector.rebuilt();
    expect(await running.projector.status()).toMatchObject({ generation: 2, error: null });
    expect(await skipsIn(running)).toEqual(['12', '4']);
    expect(await running.total()).toBe(13);
  });
});

describe('a new version whose handler throws', () => {
  async function haltedUpgrade() {
    const running = await Running.begin();
    await append(running.log, 10);
    await running.caughtUp();
    const broken = new Set([4n]);
    const projection = tally({
      version: 2,
      onFold: ({ position }) => {
        if (broken.has(position)) throw new Error('new and broken');
      },
    });
    await running.restart(projection);
    await running.state('HALTED');
    return { running, broken, projection };
  }

  it('halts, and the tables of the old version answer', async () => {
    const { running } = await haltedUpgrade();
    expect(await running.projector.status()).toMatchObject({ version: 2, generation: 1, error: { position: 4n } });
    expect(await running.total()).toBe(10);
  });

  it('continues when resumed after a fix', async () => {
    const { running, broken } = await haltedUpgrade();
    broken.clear();
    await running.projector.resume(false);
    await running.projector.rebuilt();
    await running.caughtUp();
    expect(await running.state('LIVE')).toMatchObject({ generation: 2, error: null });
    expect(await running.total()).toBe(10);
  });

  it('can skip the event', async () => {
    const { running, projection } = await haltedUpgrade();
    await running.projector.resume(true);
    await running.projector.rebuilt();
    await append(running.log, 1);
    await running.caughtUp();
    expect(await running.total()).toBe(10);
    const result = await verify(running.path, projection, running.log, await newFolder());
    expect(result).toMatchObject({ skipped: 1, events: 10 });
    expect(result.replayedDigest).toBe(result.storedDigest);
  });

  it('can be abandoned for the old version, which continues where it was', async () => {
    const { running } = await haltedUpgrade();
    await append(running.log, 2);
    await running.restart(tally());
    await running.projector.rebuilt();
    await running.caughtUp();
    expect(await running.total()).toBe(12);
    expect((await running.state('LIVE')).error).toBeNull();
  });
});
