import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import { Projector } from '../../../src/infra/projector/projector.js';
import type { Projection } from '../../../src/projections/projection.js';
import { append, newFolder, newLog, Running, tally, tallyRows } from './support.js';

const STREAMS = ['mission-a', 'mission-b', 'mission-c'];

/** More than twice as many events as a rebuild folds at a time. */
const MANY = 24_000;

/** The position of a rebuild that `stallRebuild` has stopped: the end of its first batch. */
const STALLED_AT = 10_000n;

/** A log of MANY events and the projection of them, made once and copied for each test. */
let template: string;

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'sheratan-rebuild-'));
  const log = await EmbeddedLog.open(join(template, 'log.db'), systemClock);
  await append(log, MANY, STREAMS);
  const projector = await Projector.open(join(template, 'tally.db'), tally(), log, pino({ level: 'silent' }));
  await projector.start();
  await projector.reaches(await log.head(), 20_000);
  await projector.stop();
  await log.close();
});

afterAll(() => rm(template, { recursive: true }));

/** A projection that has folded MANY events. */
async function ofMany(projection?: Projection): Promise<Running> {
  const folder = await newFolder();
  await cp(template, folder, { recursive: true });
  const running = await Running.begin(projection, await newLog(folder), join(folder, 'tally.db'));
  await running.caughtUp();
  return running;
}

/** A projection that has folded a number of events. */
async function ofFew(count: number, projection?: Projection): Promise<Running> {
  const running = await Running.begin(projection);
  await append(running.log, count, STREAMS);
  await running.caughtUp();
  return running;
}

/** Stops a rebuild after its first batch, as a full disk would, until `repair`. */
function stallRebuild(running: Running) {
  return running.breakWrites(`NEW.slot = 'next' AND NEW.position > ${String(STALLED_AT)}`);
}

/** A projection of MANY events whose rebuild has folded its first batch. */
async function halfRebuilt(projection?: Projection) {
  const running = await ofMany(projection);
  const stalled = await stallRebuild(running);
  running.projector.rebuild();
  await running.status(({ state, position }) => state === 'REBUILDING' && position === STALLED_AT);
  return { running, stalled };
}

/** A projection that records the positions it folds. */
function watched(version = 1) {
  const folded: bigint[] = [];
  return { projection: tally({ version, onFold: ({ position }) => void folded.push(position) }), folded };
}

describe('a rebuild', () => {
  it('folds everything again, beside the live tables, to the same digest', async () => {
    const { projection, folded } = watched();
    const running = await ofFew(1_000, projection);
    const before = await running.projector.digest();
    folded.length = 0;
    expect(running.projector.rebuild()).toBeUndefined();
    await running.projector.rebuilt();
    expect(folded.length).toBe(1_000);
    expect(await running.projector.digest()).toEqual(before);
    expect(await running.state('LIVE')).toMatchObject({ generation: 2, position: 1_000n, error: null });
  });

  it('keeps the replaced tables as the previous generation, and no older ones', async () => {
    const running = await ofFew(10);
    for (const generation of [2, 3]) {
      running.projector.rebuild();
      await running.projector.rebuilt();
      expect((await running.projector.status()).generation).toBe(generation);
      expect(await running.tables()).toEqual(['tallies', 'tallies__prev']);
    }
  });

  it('leaves the tables with all their indexes', async () => {
    const running = await ofFew(10);
    running.projector.rebuild();
    await running.projector.rebuilt();
    const sql = "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL GROUP BY tbl_name";
    expect(await running.projector.file.read((connection) => connection.all(sql))).toEqual([{ n: 1 }, { n: 1 }]);
  });

  it('is shown with its position, its speed and the time it will take', async () => {
    const { running, stalled } = await halfRebuilt();
    const status = await running.projector.status();
    expect(status).toMatchObject({ state: 'REBUILDING', generation: 2, head: BigInt(MANY), error: null });
    expect(status.position).toBe(STALLED_AT);
    expect(status.eventsPerSecond).toBeGreaterThan(0);
    expect(status.etaSeconds).toBeCloseTo((MANY - Number(STALLED_AT)) / status.eventsPerSecond);
    await stalled.repair();
    await running.projector.rebuilt();
    expect(await running.state('LIVE')).toMatchObject({ generation: 2, position: BigInt(MANY) });
  });

  it('is refused while one runs', async () => {
    const running = await ofFew(10);
    expect(running.projector.rebuild()).toBeUndefined();
    expect(running.projector.rebuild()).toEqual({ refused: 'A rebuild is under way already.' });
    await running.projector.rebuilt();
    expect(running.projector.rebuild()).toBeUndefined();
    await running.projector.rebuilt();
  });

  it('does not interfere: appends are folded, and readers never see rows revert or vanish', async () => {
    const running = await ofMany();
    let seen = BigInt(MANY);
    let reads = 0;
    let appended = BigInt(MANY);
    let done = false;
    const reading = async () => {
      while (!done) {
        // The latest that any reader had seen when this read began.
        const before = seen;
        const { rows, position } = await tallyRows(running.projector);
        const total = rows.reduce((sum, { count }) => sum + count, 0);
        // Every event is of this projection, so rows and checkpoint agree, whichever generation answers.
        expect(BigInt(total)).toBe(position);
        expect(position).toBeGreaterThanOrEqual(before);
        if (position > seen) seen = position;
        reads += 1;
      }
    };
    const writing = async () => {
      while (!done) {
        appended = await append(running.log, 20, STREAMS);
        expect(await running.projector.reaches(appended, 10_000)).toBe(true);
      }
    };
    const others = [reading(), reading(), writing()];
    for (let generation = 2; generation <= 4; generation += 1) {
      running.projector.rebuild();
      await running.projector.rebuilt();
      await delay(20);
    }
    done = true;
    await Promise.all(others);
    await running.caughtUp();
    expect(reads).toBeGreaterThan(100);
    expect(appended).toBeGreaterThan(MANY);
    expect(BigInt(await running.total())).toBe(appended);
    expect(await running.projector.status()).toMatchObject({ generation: 4 });
  });

  it('of an empty log is done immediately', async () => {
    const running = await Running.begin();
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect((await running.state('LIVE')).generation).toBe(2);
    await append(running.log, 3);
    await running.caughtUp();
    expect(await running.total()).toBe(3);
  });

  it('of a halted projection takes it past the event, when that can be folded now', async () => {
    const broken = new Set([4n]);
    const projection = tally({
      onFold: ({ position }) => {
        if (broken.has(position)) throw new Error('broken');
      },
    });
    const running = await Running.begin(projection);
    await append(running.log, 10);
    await running.state('HALTED');
    broken.clear();
    running.projector.rebuild();
    await running.projector.rebuilt();
    await append(running.log, 1);
    await running.caughtUp();
    expect((await running.state('LIVE')).error).toBeNull();
    expect(await running.total()).toBe(11);
  });
});

describe('cancelling a rebuild', () => {
  it('drops what was built, and leaves the live tables as they are', async () => {
    const { running } = await halfRebuilt();
    const before = await running.projector.digest();
    expect(await running.tables()).toEqual(['tallies', 'tallies__next']);
    expect(await running.projector.cancelRebuild()).toBeUndefined();
    expect(await running.tables()).toEqual(['tallies']);
    expect(await running.state('LIVE')).toMatchObject({ generation: 1, error: null });
    expect(await running.projector.digest()).toEqual(before);
    await append(running.log, 1);
    await running.caughtUp();
    expect(await running.total()).toBe(MANY + 1);
  });

  it('makes the next one begin at the beginning', async () => {
    const { projection, folded } = watched();
    const { running, stalled } = await halfRebuilt(projection);
    await running.projector.cancelRebuild();
    await stalled.repair();
    folded.length = 0;
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect(folded.length).toBe(MANY);
    expect(await running.total()).toBe(MANY);
  });

  it('is refused when none is under way', async () => {
    const running = await ofFew(1);
    expect(await running.projector.cancelRebuild()).toEqual({ refused: 'No rebuild is under way.' });
    running.projector.rebuild();
    await running.projector.rebuilt();
    expect(await running.projector.cancelRebuild()).toEqual({ refused: 'No rebuild is under way.' });
  });
});

describe('a rebuild that was interrupted', () => {
  it('continues from its checkpoint when the process restarts', async () => {
    const { running, stalled } = await halfRebuilt();
    await running.stop();
    await stalled.repair();
    const { projection, folded } = watched();
    await running.start(projection);
    expect(await running.projector.status()).toMatchObject({ state: 'REBUILDING', generation: 2 });
    await running.projector.rebuilt();
    expect(folded).toEqual(Array.from({ length: MANY - Number(STALLED_AT) }, (_, i) => STALLED_AT + BigInt(i + 1)));
    expect(await running.total()).toBe(MANY);
    expect(await running.state('LIVE')).toMatchObject({ generation: 2 });
    expect(await running.tables()).toEqual(['tallies', 'tallies__prev']);
  });

  it('continues each time it is interrupted again', async () => {
    const running = await ofMany();
    const before = await running.projector.digest();
    running.projector.rebuild();
    for (let i = 0; i < 4; i += 1) {
      await delay(30 * i);
      await running.restart(tally());
      expect(await running.total()).toBe(MANY);
    }
    await running.projector.rebuilt();
    expect(await running.projector.digest()).toEqual(before);
    expect((await running.projector.status()).generation).toBe(2);
  });

  it('begins again when the projection has another version by then', async () => {
    const { running, stalled } = await halfRebuilt();
    await running.stop();
    await stalled.repair();
    const { projection, folded } = watched(2);
    await running.start(projection);
    await running.projector.rebuilt();
    expect(folded.length).toBe(MANY);
    expect(await running.total()).toBe(MANY);
  });
});

describe('a projection of another version than its file', () => {
  it('is rebuilt at start, while the old tables answer as they were', async () => {
    const running = await ofMany();
    await running.stop();
    const stalled = await stallRebuild(running);
    await append(running.log, 10, STREAMS);
    await running.start(tally({ version: 2 }));
    await running.status(({ position }) => position === STALLED_AT);
    expect(await running.projector.status()).toMatchObject({ state: 'REBUILDING', version: 2, generation: 2 });
    expect(await running.total()).toBe(MANY);
    expect(await running.projector.reaches(BigInt(MANY + 1), 50)).toBe(false);
    await stalled.repair();
    await running.projector.rebuilt();
    await running.caughtUp();
    expect(await running.total()).toBe(MANY + 10);
    expect(await running.state('LIVE')).toMatchObject({ version: 2, generation: 2, error: null });
  });

  it('cannot have that rebuild cancelled', async () => {
    const running = await ofFew(10);
    await running.restart(tally({ version: 2 }));
    expect(await running.projector.cancelRebuild()).toMatchObject({
      refused: expect.stringContaining('another version'),
    });
    await running.projector.rebuilt();
    expect(await running.total()).toBe(10);
  });

  it('is rebuilt only once', async () => {
    const running = await ofFew(10);
    await running.restart(tally({ version: 2 }));
    await running.projector.rebuilt();
    const { projection, folded } = watched(2);
    await running.restart(projection);
    await running.projector.rebuilt();
    await running.caughtUp();
    expect(folded).toEqual([]);
    expect((await running.projector.status()).generation).toBe(2);
  });

  it('is rebuilt for an older version too', async () => {
    const running = await ofFew(10, tally({ version: 2 }));
    const { projection, folded } = watched(1);
    await running.restart(projection);
    await running.projector.rebuilt();
    expect(folded.length).toBe(10);
    expect(await running.total()).toBe(10);
  });
});
