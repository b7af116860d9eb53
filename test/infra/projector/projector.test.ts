import { randomUUID } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ProjectionError } from '../../../src/infra/projector/errors.js';
import { metadata } from '../../domain/support.js';
import { append, newLog, Running, tally, tallyRows, tamper } from './support.js';

describe('a projector', () => {
  it('folds the events that the log already has, and is then LIVE', async () => {
    const log = await newLog();
    const head = await append(log, 1_500, ['mission-a', 'mission-b']);
    const running = await Running.begin(tally(), log);
    const status = await running.state('LIVE');
    expect(status).toMatchObject({ name: 'tally', version: 1, position: head, head, generation: 1, error: null });
    expect(status.etaSeconds).toBe(0);
    expect(await running.rows()).toEqual([
      { id: 'mission-a', count: 1_000, last: '1500', position: 1_500 },
      { id: 'mission-b', count: 500, last: '1000', position: 1_000 },
    ]);
  });

  it('is CATCHING_UP before', async () => {
    const running = await Running.begin();
    await running.stop();
    await append(running.log, 1);
    const broken = await running.breakWrites();
    await running.start(tally());
    expect(await running.projector.status()).toMatchObject({ state: 'CATCHING_UP', position: 0n, etaSeconds: null });
    await broken.repair();
    await running.state('LIVE');
  });

  it('folds what is appended while it runs', async () => {
    const running = await Running.begin();
    await running.state('LIVE');
    for (let i = 1; i <= 5; i += 1) {
      await append(running.log, 3);
      await running.caughtUp();
      expect(await running.total()).toBe(i * 3);
    }
  });

  it('folds each event once, however often it stops and starts', async () => {
    const running = await Running.begin();
    const streams = ['mission-a', 'mission-b', 'mission-c'];
    let appended = 0;
    for (let i = 0; i < 6; i += 1) {
      const appending = append(running.log, 1_700, streams);
      appended += 1_700;
      // Sometimes before it has caught up, sometimes after.
      if (i % 2 === 0) await running.projector.committed(AbortSignal.timeout(10_000));
      else await appending;
      await running.restart(tally());
      await appending;
    }
    await running.caughtUp();
    expect(await running.total()).toBe(appended);
  });

  it('commits rows and checkpoint together: rows are never ahead of it, nor behind', async () => {
    const running = await Running.begin();
    let seen = 0n;
    const appending = append(running.log, 8_000);
    while (seen < 8_000n) {
      const { rows, position } = await tallyRows(running.projector);
      expect(BigInt(rows[0]?.count ?? 0)).toBe(position);
      expect(position).toBeGreaterThanOrEqual(seen);
      seen = position;
    }
    await appending;
  });

  it('moves its checkpoint past events of other categories', async () => {
    const running = await Running.begin();
    const before = await append(running.log, 1);
    const event = { id: randomUUID(), type: 'HostStateChanged', data: {}, metadata: metadata(0) };
    const { position } = await running.log.append('wallet-a', [event], 'no-stream');
    expect(position).toBeGreaterThan(before);
    expect(await running.projector.reaches(position, 10_000)).toBe(true);
    expect((await tallyRows(running.projector)).position).toBe(position);
    expect(await running.total()).toBe(1);
  });

  it('ignores events of its categories that it has no handler for', async () => {
    const running = await Running.begin();
    const event = { id: randomUUID(), type: 'MissionClosed', data: {}, metadata: metadata(0) };
    await running.log.append('mission-a', [event], 'no-stream');
    await running.caughtUp();
    expect(await running.rows()).toEqual([]);
  });

  it('starts from the beginning when its file is deleted, and results in the same digest', async () => {
    const running = await Running.begin();
    await append(running.log, 1_200, ['mission-a', 'mission-b']);
    await running.caughtUp();
    const before = await running.projector.digest();
    await running.stop();
    await rm(running.path);
    await running.start(tally());
    await running.caughtUp();
    expect(await running.projector.digest()).toEqual(before);
    expect(before.position).toBe(1_200n);
  });

  it('does not interfere with another that reads the same log', async () => {
    const log = await newLog();
    const broken = await Running.begin(
      tally({
        onFold: () => {
          throw new Error('broken');
        },
      }),
      log,
    );
    const whole = await Running.begin(tally(), log);
    await append(log, 10);
    await broken.state('HALTED');
    await whole.caughtUp();
    expect(await whole.total()).toBe(10);
  });
});

describe('waiting for a position', () => {
  it('resolves true immediately when it has been folded', async () => {
    const running = await Running.begin();
    const position = await append(running.log, 3);
    await running.caughtUp();
    expect(await running.projector.reaches(position, 0)).toBe(true);
    expect(await running.projector.reaches(0n, 0)).toBe(true);
  });

  it('resolves true when it is folded, and then the rows exist', async () => {
    const running = await Running.begin();
    await running.state('LIVE');
    const reached = running.projector.reaches(5n, 10_000);
    await append(running.log, 5);
    expect(await reached).toBe(true);
    expect(await running.total()).toBe(5);
  });

  it('resolves false after the timeout', async () => {
    const running = await Running.begin();
    const started = Date.now();
    expect(await running.projector.reaches(1n, 50)).toBe(false);
    expect(Date.now() - started).toBeGreaterThanOrEqual(45);
  });

  it('resolves false when the projector stops', async () => {
    const running = await Running.begin();
    const { projector } = running;
    const reached = projector.reaches(1n, 10_000);
    await running.stop();
    expect(await reached).toBe(false);
    expect(await projector.reaches(1n, 10_000)).toBe(false);
  });
});

describe('waiting for a commit', () => {
  it('ends with it, or with its signal', async () => {
    const running = await Running.begin();
    await running.state('LIVE');
    const committed = running.projector.committed(AbortSignal.timeout(10_000));
    await append(running.log, 1);
    await committed;
    expect(await running.total()).toBe(1);
    await running.projector.committed(AbortSignal.timeout(20));
    expect(running.projector.position).toBe(1n);
  });
});

describe('stopping', () => {
  it('ends although queries were made', async () => {
    const running = await Running.begin();
    await running.rows();
    await expect(running.stop()).resolves.toBeUndefined();
  });

  it('refuses queries from then on', async () => {
    const running = await Running.begin();
    const { projector } = running;
    await running.stop();
    await expect(tallyRows(projector)).rejects.toThrow('the pool is closed');
    await expect(projector.digest()).rejects.toThrow('the pool is closed');
  });
});

describe('the digest', () => {
  it('is of the position it names', async () => {
    const running = await Running.begin();
    await append(running.log, 2);
    await running.caughtUp();
    const two = await running.projector.digest();
    await append(running.log, 1);
    await running.caughtUp();
    const three = await running.projector.digest();
    expect([two.position, three.position]).toEqual([2n, 3n]);
    expect(two.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(three.digest).not.toBe(two.digest);
  });

  it('can be computed while events are folded', async () => {
    const running = await Running.begin();
    const appending = append(running.log, 5_000);
    const digests = new Map<bigint, string>();
    while (running.projector.position < 5_000n) {
      const { position, digest } = await running.projector.digest();
      expect(digests.get(position) ?? digest).toBe(digest);
      digests.set(position, digest);
      await setImmediate();
    }
    await appending;
    expect(new Set(digests.values()).size).toBe(digests.size);
  });
});

describe('a projection is refused at start', () => {
  async function refusal(running: Running, log = running.log): Promise<ProjectionError> {
    const error = await running.open(tally(), log).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error instanceof ProjectionError) return error;
    throw new Error(`expected a ProjectionError, got ${String(error)}`);
  }

  it('when it was built from another log', async () => {
    const running = await Running.begin();
    await append(running.log, 1);
    await running.caughtUp();
    await running.stop();
    const other = await newLog();
    const { code, message } = await refusal(running, other);
    expect(code).toBe('FOREIGN_LOG');
    expect(message).toContain(`${running.path} was built from log ${running.log.logId}; this is log ${other.logId}.`);
    expect(message).toContain('Run `sheratan replay tally --reset`');
  });

  it('when it is beyond the end of the log', async () => {
    const running = await Running.begin();
    await append(running.log, 3);
    await running.caughtUp();
    await running.stop();
    await tamper(running.path, "UPDATE generations SET position = 9007199254740993 WHERE slot = 'live'");
    const { code, message } = await refusal(running);
    expect(code).toBe('CHECKPOINT_BEYOND_HEAD');
    expect(message).toContain('folded up to 9007199254740993, but the log ends at 3');
    expect(message).toContain('Restore the right log, or accept this one: run `sheratan replay tally --reset`');
  });

  it('when the log does not have the last event that it has folded', async () => {
    const running = await Running.begin();
    await append(running.log, 3);
    await running.caughtUp();
    await running.stop();
    await tamper(running.path, `UPDATE generations SET last_event = json_set(last_event, '$.id', 'x')`);
    expect(await refusal(running)).toMatchObject({ code: 'LOG_DIVERGED' });
    // A file of a build that did not record the last event has none.
    await tamper(running.path, 'ALTER TABLE generations DROP COLUMN last_event');
    await running.restart(tally());
    await append(running.log, 1);
    await running.caughtUp();
    expect(await running.total()).toBe(4);
  });

  it.each([
    ['at its head', 0],
    ['where it keeps its checkpoint', 4_096],
  ])('when its file is damaged %s', async (_, offset) => {
    const running = await Running.begin();
    await append(running.log, 1);
    await running.caughtUp();
    await running.stop();
    expect((await stat(running.path)).size).toBeGreaterThan(offset + 4_096);
    const file = await open(running.path, 'r+');
    await file.write(Buffer.alloc(4_096, 0xa5), 0, 4_096, offset);
    await file.close();
    const { code, message } = await refusal(running);
    expect(code).toBe('PROJECTION_DAMAGED');
    expect(message).toContain(`${running.path} is damaged.`);
    expect(message).toContain('delete the file and start the core again');
  });

  it('and its file is not changed, so that it still works with the right log', async () => {
    const running = await Running.begin();
    await append(running.log, 4);
    await running.caughtUp();
    const before = await running.projector.digest();
    await running.stop();
    await refusal(running, await newLog());
    await running.start(tally());
    expect(await running.projector.digest()).toEqual(before);
    expect(running.projector.position).toBe(4n);
  });
});
