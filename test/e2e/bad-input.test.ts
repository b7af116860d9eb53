import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { dataDirOf, history, sheratan, withLogOf } from '../infra/transfer/support.js';
import { Sheratan } from '../support/core.js';
import { newEvents } from '../support/events.js';

/** What a stopped core left: its log and its read model. */
let log: Buffer;
let missions: Buffer;
let digest = '';

// Done once. It is a beforeEach because only a test may have a folder that is removed with it.
beforeEach(async () => {
  if (digest !== '') return;
  const dataDir = await dataDirOf(history(4, 5));
  digest = (await sheratan(['replay'], dataDir)).output[1]!;
  log = await readFile(corePaths(dataDir).log);
  missions = await readFile(corePaths(dataDir).missions);
});

/** A data folder as that core left it, except for these files. */
async function dataDirWith(files: { readonly log?: Buffer; readonly missions?: Buffer }): Promise<string> {
  const dataDir = await dataDirOf({});
  const paths = corePaths(dataDir);
  await rm(`${paths.log}-wal`, { force: true });
  await rm(`${paths.log}-shm`, { force: true });
  await writeFile(paths.log, files.log ?? log);
  await writeFile(paths.missions, files.missions ?? missions);
  return dataDir;
}

/** Runs a command that must end with exit code 78 and one message. */
async function refuses(command: string, dataDir: string, message: RegExp): Promise<void> {
  const { code, output, errors } = await sheratan([command], dataDir);
  expect(errors).toEqual([expect.stringMatching(message)]);
  expect({ code, output }).toEqual({ code: 78, output: [] });
}

/** The digest of the read model, after a core has started on the folder. */
async function digestOnceStarted(dataDir: string): Promise<string> {
  const core = await Sheratan.serve(dataDir);
  const status = await core.live();
  await core.stop();
  return `digest ${status.digest}`;
}

/** A page of zeros in the middle of a file's bytes. */
function withHole(file: Buffer): Buffer {
  const holed = Buffer.from(file);
  const middle = Math.floor(holed.length / 2 / 4096) * 4096;
  return holed.fill(0, middle, middle + 4096);
}

const GARBAGE = Buffer.from('This is not a database. '.repeat(1_000));

describe('a damaged log.db, or another file in its place, is refused with one message that states what to do:', () => {
  it.each([
    ['garbage', () => GARBAGE, /^sheratan: LOG_CORRUPT: .*log\.db is damaged\..*restore the file from a copy/],
    ['cut short', () => log.subarray(0, log.length - 8192), /^sheratan: LOG_CORRUPT: .*log\.db is damaged.*restore/],
    ['a page of zeros', () => withHole(log), /^sheratan: LOG_CORRUPT: .*log\.db is damaged.*restore the file/],
    ['a read model', () => missions, /^sheratan: LOG_FAILED: .*database of another application.*SHERATAN_DATA_DIR/],
  ])('%s', async (_, content, message) => {
    const dataDir = await dataDirWith({ log: content() });
    await refuses('replay', dataDir, message);
    expect(await readFile(corePaths(dataDir).log)).toEqual(content());
  });

  it('garbage, by the core too', async () => {
    await refuses(
      'serve',
      await dataDirWith({ log: GARBAGE }),
      /^sheratan: LOG_CORRUPT: .*log\.db is damaged\..*restore/,
    );
  });

  it('an empty file, which would begin a new log, beside a read model of the old one', async () => {
    const dataDir = await dataDirWith({ log: Buffer.alloc(0) });
    await refuses('serve', dataDir, /^sheratan: FOREIGN_LOG: .*built from log.*sheratan replay missions --reset/);
  });

  it('another log, beside a read model of the old one', async () => {
    const other = await dataDirOf(history(1, 1));
    const dataDir = await dataDirWith({ log: await readFile(corePaths(other).log) });
    await refuses('replay', dataDir, /^sheratan: FOREIGN_LOG: .*built from log.*sheratan replay missions --reset/);
    await refuses('verify', dataDir, /^sheratan: FOREIGN_LOG: .*was built from log/);
  });

  it('an older copy, which lacks what the read model has folded: it is accepted only on demand', async () => {
    const dataDir = await dataDirWith({});
    const { log: path } = corePaths(dataDir);
    const newer = await withLogOf(dataDir, async (opened) => {
      await opened.append('mission-m0', newEvents(3, { data: { missionId: 'm0', title: 'Newer' } }), 0n);
      return opened.head();
    });
    expect(await sheratan(['replay'], dataDir)).toMatchObject({ code: 0 });
    await rm(`${path}-wal`, { force: true });
    await rm(`${path}-shm`, { force: true });
    await writeFile(path, log);

    const message = new RegExp(
      `^sheratan: CHECKPOINT_BEYOND_HEAD: .*folded up to ${newer}.*Restore the right log, or.*sheratan replay missions --reset`,
    );
    await refuses('serve', dataDir, message);
    await refuses('replay', dataDir, message);
    const { output } = await sheratan(['replay', 'missions', '--reset'], dataDir);
    // Events whose positions clients hold may be lost: the new id of the log lets clients know.
    const [, was, now] =
      /^log (\w{6}) has lost events: its new id is (\w{6}), and positions of \1 are refused$/.exec(output[0] ?? '') ??
      [];
    expect(now).not.toBe(was);
    expect(output[1]).toContain(`replayed up to ${now}:`);
    expect(output[2]).toBe(digest);
    expect((await sheratan(['replay', 'missions', '--reset'], dataDir)).output[0]).toContain(`replayed up to ${now}:`);
    expect((await sheratan(['verify'], dataDir)).output[1]).toBe(digest);
  });
});

describe('an older copy of a log that continued beyond what a read model has folded', () => {
  it.each([
    ['what the read model folds', 'mission-m0', 'MissionUpdated', { missionId: 'm0', title: 'Lost' }],
    ['what it ignores', 'replication-o', 'ReplicasAcknowledged', { origin: 'o' }],
  ])('is refused where it lacks %s, and accepted only on demand', async (_, stream, type, data) => {
    const dataDir = await dataDirWith({});
    const { log: path } = corePaths(dataDir);
    await withLogOf(dataDir, (opened) => opened.append(stream, newEvents(2, { type, data }), 'any'));
    // A core that is stopped has folded everything.
    await digestOnceStarted(dataDir);
    await rm(`${path}-wal`, { force: true });
    await rm(`${path}-shm`, { force: true });
    await writeFile(path, log);
    const title = 'In the place of what is lost';
    await withLogOf(dataDir, (opened) =>
      opened.append('mission-m1', newEvents(9, { data: { missionId: 'm1', title } }), 'any'),
    );

    const message =
      /^sheratan: LOG_DIVERGED: .*missions\.db has folded events that this log does not have: .*Restore the right log, or.*sheratan replay missions --reset/;
    await refuses('serve', dataDir, message);
    await refuses('replay', dataDir, message);
    const { output } = await sheratan(['replay', 'missions', '--reset'], dataDir);
    expect(output[0]).toMatch(/^log (\w{6}) has lost events: its new id is \w{6}, and positions of \1 are refused$/);
    expect(await sheratan(['replay', 'outbox', '--reset'], dataDir)).toMatchObject({ code: 0 });
    const core = await Sheratan.serve(dataDir);
    await core.live();
    const { mission } = await core.gql('{ mission(id: "m1") { title } }');
    expect(mission).toEqual({ title });
  });
});

describe('an event whose bytes have changed', () => {
  it('is found by verify, which names its position, and by export', async () => {
    const dataDir = await dataDirWith({});
    const file = await Connection.open(corePaths(dataDir).log, 'write');
    await file.run("UPDATE events_1 SET data = replace(data, 'Task t3', 'Task t4') WHERE stream = 'task-t3'");
    await file.close();
    const message = /^sheratan: LOG_CORRUPT: The event at position 8 \(stream 'task-t3'\) is damaged.*restore/;
    await refuses('verify', dataDir, message);
    await refuses('export', dataDir, /^sheratan: LOG_CORRUPT: /);
  });
});

describe('a missions.db that is damaged', () => {
  it.each([
    ['garbage', () => GARBAGE],
    ['cut short', () => missions.subarray(0, 4096 * 3 + 100)],
    ['cut to a few bytes', () => missions.subarray(0, 50)],
  ])('is refused with the advice to delete it, and rebuilt once it is deleted: %s', async (_, content) => {
    const dataDir = await dataDirWith({ missions: content() });
    const { missions: path } = corePaths(dataDir);
    await refuses(
      'serve',
      dataDir,
      /^sheratan: PROJECTION_DAMAGED: .*missions\.db is damaged.*delete the file and start the core again/,
    );
    await refuses('verify', dataDir, /^sheratan: PROJECTION_DAMAGED: .*missions\.db/);
    expect((await stat(path)).size).toBe(content().length);
    await rm(path);
    expect((await sheratan(['replay'], dataDir)).output[1]).toBe(digest);
  });

  it('stops the core as well', async () => {
    const dataDir = await dataDirWith({ missions: GARBAGE });
    await refuses(
      'serve',
      dataDir,
      /^sheratan: PROJECTION_DAMAGED: .*missions\.db is damaged.*delete the file and start the core again/,
    );
  });

  it('is rebuilt when it is empty or missing', async () => {
    const dataDir = await dataDirWith({ missions: Buffer.alloc(0) });
    expect(await digestOnceStarted(dataDir)).toBe(digest);
  });

  it('is deleted by replay --reset, with any content', async () => {
    const dataDir = await dataDirWith({ missions: GARBAGE });
    expect((await sheratan(['replay', 'missions', '--reset'], dataDir)).output[1]).toBe(digest);
    expect((await sheratan(['verify'], dataDir)).output[1]).toBe(digest);
  });
});

describe('other files of a data folder', () => {
  it('may be left from a core that was killed', async () => {
    const dataDir = await dataDirWith({});
    const core = await Sheratan.serve(dataDir);
    await core.kill();
    expect((await sheratan(['replay'], dataDir)).output[1]).toBe(digest);
    expect(await digestOnceStarted(dataDir)).toBe(digest);
  });

  it('a lock that is garbage is named', async () => {
    const dataDir = await dataDirWith({});
    await writeFile(corePaths(dataDir).missionsLock, GARBAGE);
    await refuses('replay', dataDir, /^sheratan: .*missions\.lock.*delete/);
  });
});
