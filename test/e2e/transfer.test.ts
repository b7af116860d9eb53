import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { dataDirOf, eventsOf, history, job, legacyFolder, mission, sheratan, task } from '../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../support/core.js';

/** Rebuilds the read model and returns its digest. */
async function digestOf(dataDir: string): Promise<string> {
  const { code, output, errors } = await sheratan(['replay'], dataDir);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  return /^digest ([0-9a-f]{64})$/.exec(output.at(-1)!)![1]!;
}

/** Runs SQL on a file of a data folder. */
async function sqlOn(file: string, sql: string): Promise<number> {
  const connection = await Connection.open(file, 'write');
  const { changes } = await connection.run(sql);
  await connection.close();
  return changes;
}

/** How many events the log of a folder has by now, as another process sees it. */
async function countIn(dataDir: string): Promise<number> {
  try {
    const connection = await Connection.open(corePaths(dataDir).log, 'read');
    const rows = await connection.all<{ count: number }>('SELECT count(*) AS count FROM events').catch(() => []);
    await connection.close();
    return rows[0]?.count ?? 0;
  } catch {
    return 0;
  }
}

describe('sheratan import of the prototype', () => {
  it('reports what it did with each file, and adds nothing the second time', async () => {
    const folder = await legacyFolder({ missions: [mission('m1'), mission('m2')], tasks: [task('t1', 'm1')] });
    const dataDir = await newDataDir();
    const first = await sheratan(['import', folder], dataDir);
    expect(first).toMatchObject({ code: 0, errors: [] });
    expect(first.output).toEqual([
      'missions.jsonl: 2 read, 2 added, 0 already present, 0 bad',
      'tasks.jsonl: 1 read, 1 added, 0 already present, 0 bad',
      'jobs.jsonl: missing',
      expect.stringMatching(/^3 records in \d+\.\d s; the log is at [0-9a-z]{6}:3$/),
    ]);
    const second = await sheratan(['import', folder], dataDir);
    expect(second.output.slice(0, 2)).toEqual([
      'missions.jsonl: 2 read, 0 added, 2 already present, 0 bad',
      'tasks.jsonl: 1 read, 0 added, 1 already present, 0 bad',
    ]);
    expect(second).toMatchObject({ code: 0, errors: [] });
  });

  it('reports bad lines on stderr, the first twenty one by one, imports the rest, and ends with exit code 1', async () => {
    const broken = Array.from({ length: 25 }, () => '{"id":');
    const folder = await legacyFolder({ missions: [mission('m1'), ...broken, mission('m2')] });
    const { code, output, errors } = await sheratan(['import', folder], await newDataDir());
    expect(code).toBe(1);
    expect(output[0]).toBe('missions.jsonl: 27 read, 2 added, 0 already present, 25 bad');
    expect(errors).toHaveLength(21);
    expect(errors[0]).toMatch(/^missions\.jsonl:2: the line is not JSON/);
    expect(errors[19]).toMatch(/^missions\.jsonl:21: the line is not JSON/);
    expect(errors[20]).toBe('… further bad lines are only counted');
  });

  it('stops at the first bad line when it is strict, and begins no other file', async () => {
    const folder = await legacyFolder({
      missions: [mission('m1'), mission('m2', { title: '' }), '{'],
      tasks: [task('t1', 'm1')],
    });
    const dataDir = await newDataDir();
    const { code, output, errors } = await sheratan(['import', '--strict', folder], dataDir);
    expect({ code, output }).toEqual({ code: 1, output: [] });
    expect(errors).toEqual([expect.stringMatching(/^sheratan: missions\.jsonl:2: title: .*import again/)]);
    expect((await eventsOf(dataDir)).map(({ stream }) => stream)).toEqual(['mission-m1']);
  });

  it('reports when the path does not exist, or is not a folder of the prototype', async () => {
    const dataDir = await newDataDir();
    const [missing, other] = await Promise.all([
      sheratan(['import', join(dataDir, 'nowhere')], dataDir),
      sheratan(['import', dataDir], dataDir),
    ]);
    expect(missing).toMatchObject({ code: 78, output: [] });
    expect(missing.errors).toEqual([expect.stringMatching(/^sheratan: .*nowhere.*the file or folder does not exist/)]);
    expect(other).toMatchObject({ code: 78, output: [] });
    expect(other.errors).toEqual([expect.stringMatching(/^sheratan: .* has no missions\.jsonl\. Name /)]);
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('continues after kill -9 in the middle, and gives the events and the digest of an undisturbed import', async () => {
    const records = history(5, 40);
    const folder = await legacyFolder(records);
    const jobs = join(folder, 'jobs.jsonl');
    await rename(jobs, `${jobs}.whole`);
    await promisify(execFile)('mkfifo', [jobs]);
    const dataDir = await newDataDir();

    // It cannot end before it is killed: the last line does not arrive.
    const killed = new Sheratan(['import', folder], dataDir);
    const feed = createWriteStream(jobs);
    feed.on('error', () => undefined);
    feed.write((await readFile(`${jobs}.whole`, 'utf8')).trimEnd());
    while ((await countIn(dataDir)) < 100) await delay(2);
    await killed.kill();
    feed.destroy();
    expect(await killed.ended).toEqual({ code: null, signal: 'SIGKILL' });
    await rename(`${jobs}.whole`, jobs);

    const undisturbed = await dataDirOf(records);
    const whole = await eventsOf(undisturbed);
    const brought = await eventsOf(dataDir);
    expect(brought.length).toBeLessThan(whole.length);
    expect(brought).toEqual(whole.slice(0, brought.length));

    const again = await sheratan(['import', folder], dataDir);
    expect(again).toMatchObject({ code: 0, errors: [] });
    expect(again.output[0]).toBe('missions.jsonl: 5 read, 0 added, 5 already present, 0 bad');
    expect(await eventsOf(dataDir)).toEqual(whole);
    const [mended, expected] = await Promise.all([digestOf(dataDir), digestOf(undisturbed)]);
    expect(mended).toBe(expected);
  });
});

describe('beside a running core', () => {
  it('an import shows in its API, and importing its export elsewhere gives the same events and the same digest', async () => {
    const dataDir = await newDataDir();
    const core = await Sheratan.serve(dataDir);
    const jobs = [
      job('j1', 't1'),
      job('j2', 't1', { status: 'done', result: { ok: true } }),
      job('j3', 't1', { status: 'failed', result: 'no' }),
    ];
    const folder = await legacyFolder({ missions: [mission('m1')], tasks: [task('t1', 'm1')], jobs });
    expect(await sheratan(['import', folder], dataDir)).toMatchObject({ code: 0, errors: [] });
    const { digest } = await core.live();
    expect(
      await core.gql('{ mission(id: "m1") { title createdAt tags } jobs { edges { node { id status result } } } }'),
    ).toEqual({
      mission: { title: 'Mission m1', createdAt: '2021-03-06T15:51:20.123Z', tags: ['a', 'b'] },
      jobs: {
        edges: expect.arrayContaining([
          { node: { id: 'j1', status: 'PENDING', result: null } },
          { node: { id: 'j2', status: 'COMPLETED', result: { ok: true } } },
          { node: { id: 'j3', status: 'FAILED', result: null } },
        ]),
      },
    });

    const file = join(await newDataDir(), 'log.ndjson');
    const exported = await sheratan(['export', file], dataDir);
    expect(exported).toMatchObject({ code: 0, output: [], errors: ['9 events exported'] });
    const elsewhere = await newDataDir();
    const imported = await sheratan(['import', file], elsewhere);
    expect(imported).toMatchObject({ code: 0, errors: [] });
    expect(imported.output[0]).toBe('log.ndjson: 9 read, 9 added, 0 already present, 0 bad');
    expect(await eventsOf(elsewhere)).toEqual(await eventsOf(dataDir));
    expect(await digestOf(elsewhere)).toBe(digest);
  });
});

describe('sheratan export', () => {
  it('writes the same to stdout as to a file, which it replaces completely', async () => {
    const dataDir = await dataDirOf(history(2, 3));
    const file = join(await newDataDir(), 'log.ndjson');
    await writeFile(file, 'what was there before\n'.repeat(10_000));
    const [toFile, toStdout] = await Promise.all([sheratan(['export', file], dataDir), sheratan(['export'], dataDir)]);
    expect(toFile).toMatchObject({ code: 0, output: [] });
    expect(toStdout).toMatchObject({ code: 0, errors: toFile.errors });
    expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toEqual(toStdout.output);
    expect(toStdout.output).toHaveLength((await eventsOf(dataDir)).length);
    expect(await readdir(dirname(file))).toEqual(['log.ndjson']);
  });

  it('ends without a message when its reader closes the output', async () => {
    const dataDir = await dataDirOf(history(10, 30));
    const child = spawn(process.execPath, ['bin/main.js', 'export'], {
      env: { ...process.env, SHERATAN_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const code = new Promise((resolve) => child.once('close', resolve));
    // Progress is shown on a slow machine, and not on a fast one.
    const printed = (await text(child.stderr))
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('export: '));
    expect(printed).toEqual([]);
    expect(await code).toBe(0);
  });

  it('reports when stdout cannot be written', async () => {
    const full = await open('/dev/full', 'w');
    const child = spawn(process.execPath, ['bin/main.js', 'export'], {
      env: { ...process.env, SHERATAN_DATA_DIR: await dataDirOf(history(1, 0)) },
      stdio: ['ignore', full.fd, 'pipe'],
    });
    const code = new Promise((resolve) => child.once('close', resolve));
    expect(await text(child.stderr!)).toMatch(/^sheratan: ENOSPC.*the disk is full: free space[^\n]*\n$/);
    expect(await code).toBe(78);
    await full.close();
  });

  it('stops at a damaged event and leaves the file as it was; with --skip-damaged it saves the others', async () => {
    const dataDir = await dataDirOf(history(3, 0));
    const flip = "UPDATE events_1 SET data = replace(data, 'Mission m1', 'Mission n1') WHERE stream = 'mission-m1'";
    expect(await sqlOn(corePaths(dataDir).log, flip)).toBe(1);
    const file = join(await newDataDir(), 'log.ndjson');
    await writeFile(file, 'the last good export\n');
    const stopped = await sheratan(['export', file], dataDir);
    expect(stopped).toMatchObject({ code: 78, output: [] });
    expect(stopped.errors).toEqual([expect.stringMatching(/^sheratan: LOG_CORRUPT: .*position 2 .*--skip-damaged/)]);
    expect(await readFile(file, 'utf8')).toBe('the last good export\n');
    expect(await readdir(dirname(file))).toEqual(['log.ndjson']);

    const saved = await sheratan(['export', '--skip-damaged', file], dataDir);
    expect(saved).toMatchObject({ code: 1, output: [] });
    expect(saved.errors).toEqual([
      expect.stringMatching(/^left out: .*position 2 \(stream 'mission-m1'\)/),
      '8 events exported, 1 damaged left out',
    ]);
    const elsewhere = await newDataDir();
    const imported = await sheratan(['import', file], elsewhere);
    expect(imported).toMatchObject({ code: 0, errors: [] });
    expect(imported.output[0]).toBe('log.ndjson: 8 read, 8 added, 0 already present, 0 bad');
  });

  it('names what is wrong with its target, and with a folder that has no log', async () => {
    const dataDir = await dataDirOf(history(1, 0));
    const [onFolder, nowhere, noLog] = await Promise.all([
      sheratan(['export', dataDir], dataDir),
      sheratan(['export', join(dataDir, 'nowhere', 'log.ndjson')], dataDir),
      sheratan(['export'], await newDataDir()),
    ]);
    expect(onFolder).toMatchObject({
      code: 78,
      errors: [`sheratan: ${dataDir} is a folder. Name a file to write to.`],
    });
    expect(nowhere).toMatchObject({ code: 78, errors: [expect.stringContaining('the file or folder does not exist')] });
    expect(noLog).toMatchObject({
      code: 78,
      errors: [expect.stringMatching(/There is no log at .*SHERATAN_DATA_DIR/)],
    });
  });
});

describe('sheratan import of an export', () => {
  it('reports a line that was cut short by its number, with exit code 1, and adds the rest', async () => {
    const source = await dataDirOf(history(3, 0));
    const { output } = await sheratan(['export'], source);
    const file = join(await newDataDir(), 'log.ndjson');
    await writeFile(file, [output[0], output[1]!.slice(0, -20), ...output.slice(2)].join('\n'));
    const { code, output: printed, errors } = await sheratan(['import', file], await newDataDir());
    expect(code).toBe(1);
    expect(errors).toEqual([expect.stringMatching(/^log\.ndjson:2: the line is not JSON/)]);
    expect(printed[0]).toBe('log.ndjson: 9 read, 8 added, 0 already present, 1 bad');
  });
});
