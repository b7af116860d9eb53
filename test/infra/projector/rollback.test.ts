import { describe, expect, it } from 'vitest';
import { verify } from '../../../src/infra/projector/verify.js';
import { append, newFolder, Running, tally, tamper } from './support.js';

/** A projection that was rebuilt after ten events, and has folded five more since. */
async function rebuiltOnce(): Promise<Running> {
  const running = await Running.begin();
  await append(running.log, 10);
  await running.caughtUp();
  running.projector.rebuild();
  await running.projector.rebuilt();
  await append(running.log, 5);
  await running.caughtUp();
  return running;
}

async function generations(running: Running) {
  const sql = 'SELECT slot, number, position FROM generations ORDER BY slot';
  return running.projector.file.read((connection) => connection.all(sql));
}

describe('a rollback', () => {
  it('restores the previous generation, which catches up with the log', async () => {
    const running = await rebuiltOnce();
    const before = await running.projector.digest();
    expect(await running.projector.rollback()).toBeUndefined();
    await running.caughtUp();
    expect(await running.state('LIVE')).toMatchObject({ generation: 1, position: 15n });
    expect(await running.total()).toBe(15);
    expect(await running.projector.digest()).toEqual(before);
  });

  it('can be reversed', async () => {
    const running = await rebuiltOnce();
    await running.projector.rollback();
    await running.caughtUp();
    await append(running.log, 1);
    await running.caughtUp();
    expect(await running.projector.rollback()).toBeUndefined();
    await running.caughtUp();
    expect(await running.state('LIVE')).toMatchObject({ generation: 2, position: 16n });
    expect(await running.total()).toBe(16);
    expect(await generations(running)).toEqual([
      { slot: 'live', number: 2, position: 16 },
      { slot: 'prev', number: 1, position: 16 },
    ]);
  });

  it('is refused when the generation has folded events that the log does not have', async () => {
    const running = await rebuiltOnce();
    await running.stop();
    await tamper(
      running.path,
      `UPDATE generations SET last_event = json_set(last_event, '$.id', 'x') WHERE slot = 'prev'`,
    );
    await running.restart(tally());
    await running.caughtUp();
    expect(await running.projector.rollback()).toEqual({ refused: expect.stringContaining('does not have') as string });
    expect(await running.state('LIVE')).toMatchObject({ generation: 2 });
  });

  it('persists after a restart', async () => {
    const running = await rebuiltOnce();
    await running.projector.rollback();
    await running.restart(tally());
    await running.caughtUp();
    expect(await running.state('LIVE')).toMatchObject({ generation: 1 });
    expect(await running.total()).toBe(15);
  });

  it('leaves a projection that verifies, and can be rebuilt', async () => {
    const running = await rebuiltOnce();
    await running.projector.rollback();
    await running.caughtUp();
    const result = await verify(running.path, tally(), running.log, await newFolder());
    expect(result.replayedDigest).toBe(result.storedDigest);
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect(await running.total()).toBe(15);
    expect(await running.tables()).toEqual(['tallies', 'tallies__prev']);
  });

  it('returns a halted projection to tables that are not halted', async () => {
    const broken = new Set<bigint>();
    const running = await Running.begin(
      tally({
        onFold: ({ position }) => {
          if (broken.has(position)) throw new Error('broken');
        },
      }),
    );
    await append(running.log, 10);
    await running.caughtUp();
    running.projector.rebuild();
    await running.projector.rebuilt();
    broken.add(11n);
    await append(running.log, 1);
    await running.state('HALTED');
    broken.clear();
    await running.projector.rollback();
    await running.caughtUp();
    expect((await running.state('LIVE')).error).toBeNull();
    expect(await running.total()).toBe(11);
  });

  it('is refused when there is no previous generation', async () => {
    const running = await Running.begin();
    expect(await running.projector.rollback()).toEqual({ refused: 'There is no previous generation to go back to.' });
  });

  it('is refused when the previous generation has another version', async () => {
    const running = await Running.begin();
    await append(running.log, 3);
    await running.caughtUp();
    await running.restart(tally({ version: 2 }));
    await running.projector.rebuilt();
    expect(await running.projector.rollback()).toEqual({
      refused: 'The previous generation has version 1; this build uses 2.',
    });
    expect(await running.total()).toBe(3);
  });

  it('is refused while a rebuild runs', async () => {
    const running = await rebuiltOnce();
    running.projector.rebuild();
    expect(await running.projector.rollback()).toMatchObject({ refused: expect.stringContaining('is under way') });
    await running.projector.rebuilt();
    expect(await running.total()).toBe(15);
  });

  it('is exclusive: a rebuild or a second rollback requested meanwhile is refused', async () => {
    const running = await rebuiltOnce();
    const first = running.projector.rollback();
    expect(running.projector.rebuild()).toEqual({ refused: 'A rollback is under way.' });
    expect(await running.projector.rollback()).toEqual({ refused: 'A rollback is under way already.' });
    expect(await first).toBeUndefined();
    await running.caughtUp();
    expect(await generations(running)).toMatchObject([
      { slot: 'live', number: 1 },
      { slot: 'prev', number: 2 },
    ]);
  });
});
