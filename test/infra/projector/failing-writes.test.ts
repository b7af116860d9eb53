import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { append, Running, tally } from './support.js';

const TRYING_AGAIN = 'projection failed; trying again';

describe('a write that fails', () => {
  it('is tried again until it succeeds, and nothing is lost or doubled', async () => {
    const running = await Running.begin();
    await append(running.log, 10);
    await running.caughtUp();
    const broken = await running.breakWrites();
    // Several batches: what is read ahead and folded ahead of the failing write must be folded again.
    await append(running.log, 3_500, ['mission-a', 'mission-b']);
    await running.logs(TRYING_AGAIN);
    expect(await running.total()).toBe(10);
    expect(running.projector.position).toBe(10n);
    await broken.repair();
    await running.caughtUp();
    expect(await running.total()).toBe(3_510);
    expect((await running.state('LIVE')).error).toBeNull();
  });

  it('is shown until one succeeds: the projection is not halted, but does not continue', async () => {
    const running = await Running.begin();
    await append(running.log, 10);
    await running.caughtUp();
    const broken = await running.breakWrites();
    await append(running.log, 5);
    const { state, error } = await running.status((status) => status.error !== null);
    expect(state).not.toBe('HALTED');
    expect(error).toMatchObject({ position: 10n, eventId: null, type: null });
    expect(error?.message).not.toBe('');
    expect(await running.projector.resume(false)).toEqual({ refused: 'The projection is not halted.' });
    await broken.repair();
    await running.status((status) => status.error === null);
    await running.caughtUp();
    expect(await running.total()).toBe(15);
  });

  it('is noticed and tried again even when nothing more is appended', async () => {
    const running = await Running.begin();
    await running.state('LIVE');
    const broken = await running.breakWrites();
    await append(running.log, 1);
    await running.logs(TRYING_AGAIN);
    await broken.repair();
    await running.caughtUp();
    expect(await running.total()).toBe(1);
  });

  it('leaves no part of its batch behind', async () => {
    const running = await Running.begin();
    const broken = await running.breakWrites();
    await append(running.log, 500, ['mission-a']);
    await running.logs(TRYING_AGAIN);
    // The rows are written before the checkpoint, which is what fails here.
    expect(await running.rows()).toEqual([]);
    await broken.repair();
    await running.caughtUp();
    expect(await running.total()).toBe(500);
  });

  it('does not prevent a projector from stopping', async () => {
    const running = await Running.begin();
    const broken = await running.breakWrites();
    await append(running.log, 5);
    await running.logs(TRYING_AGAIN);
    await running.stop();
    await broken.repair();
    await running.start(tally());
    await running.caughtUp();
    expect(await running.total()).toBe(5);
  });

  it('of a rebuild is tried again too', async () => {
    const running = await Running.begin();
    await append(running.log, 1_000);
    await running.caughtUp();
    const broken = await running.breakWrites();
    running.projector.rebuild();
    await running.logs('rebuild failed; trying again');
    expect((await running.projector.status()).state).toBe('REBUILDING');
    expect(await running.total()).toBe(1_000);
    await broken.repair();
    await running.projector.rebuilt();
    expect(await running.projector.status()).toMatchObject({ generation: 2, error: null });
    expect(await running.total()).toBe(1_000);
  });

  it('of a rebuild does not prevent its cancellation', async () => {
    const running = await Running.begin();
    await append(running.log, 10);
    await running.caughtUp();
    const broken = await running.breakWrites();
    running.projector.rebuild();
    await running.logs('rebuild failed; trying again');
    await broken.repair();
    expect(await running.projector.cancelRebuild()).toBeUndefined();
    expect(await running.tables()).toEqual(['tallies']);
    expect(await running.total()).toBe(10);
  });

  it('because another process holds the file, longer than a statement waits, is tried again', async () => {
    const running = await Running.begin();
    await append(running.log, 10);
    await running.caughtUp();
    const other = await running.intruder();
    await other.run('BEGIN IMMEDIATE');
    await append(running.log, 10);
    await running.logs(TRYING_AGAIN);
    expect(await running.total()).toBe(10);
    await delay(100);
    await other.run('ROLLBACK');
    await running.caughtUp();
    expect(await running.total()).toBe(20);
  });
});
