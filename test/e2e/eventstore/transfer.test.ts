import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataDirOf, history, legacyFolder, sheratan } from '../../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { apart, logServer, startStandIn, withLogOf, type LogServer } from '../../support/log-server.js';

let server: LogServer;
beforeAll(async () => {
  server = await logServer();
});
afterAll(() => server.stop());

/** Rebuilds the read model of a log in a folder of its own, and returns its digest. */
async function digestOf(env: Readonly<Record<string, string>>, dataDir?: string): Promise<string> {
  const { code, output, errors } = await sheratan(['replay'], dataDir ?? (await newDataDir()), env);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  return output.at(-1)!;
}

const FILE = { SHERATAN_EVENTSTORE_URL: '' };

describe('the same data', { timeout: 240_000 }, () => {
  it('gives the same rows on a server as in a file, and again after an export and an import', async () => {
    const folder = await legacyFolder(history(6, 20));
    const onServer = { SHERATAN_EVENTSTORE_URL: server.newLogUrl() };
    const inFile = await newDataDir();
    for (const [dataDir, env] of [
      [inFile, FILE],
      [await newDataDir(), onServer],
    ] as const) {
      expect(await sheratan(['import', folder], dataDir, env)).toMatchObject({ code: 0, errors: [] });
    }
    const digest = await digestOf(FILE, inFile);
    const dataDir = await newDataDir();
    expect(await digestOf(onServer, dataDir)).toBe(digest);
    expect(await sheratan(['verify'], dataDir, onServer)).toMatchObject({ code: 0, errors: [] });

    const exported = join(await newDataDir(), 'log.ndjson');
    expect(await sheratan(['export', exported], dataDir, onServer)).toMatchObject({ code: 0 });
    const again = await newDataDir();
    expect(await sheratan(['import', exported], again, FILE)).toMatchObject({ code: 0, errors: [] });
    expect(await digestOf(FILE, again)).toBe(digest);
  });
});

describe('sheratan copy', { timeout: 240_000 }, () => {
  it('moves a log to a server and back, however often it is killed, and confirms it by digests', async () => {
    const source = await dataDirOf(history(20, 60));
    const url = server.newLogUrl();
    const env = { SHERATAN_EVENTSTORE_URL: url };
    const there = () => withLogOf(source, env, (log) => log.head());
    for (let round = 0; round < 2; round += 1) {
      const before = await there();
      const copying = new Sheratan(['copy', '--from', source, '--to', url], source, FILE);
      while ((await there()) === before && !copying.hasEnded) await delay(5);
      await copying.kill();
    }
    const { code, output, errors } = await sheratan(['copy', '--from', source, '--to', url], source, FILE);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(output).toEqual([
      expect.stringMatching(/^\d+ events copied in \d+\.\d s; position [0-9a-z]{6}:\d+ is now [0-9a-z]{6}:\d+$/),
      expect.stringMatching(/^source {2}\d+ events {2}[0-9a-f]{64}$/),
      expect.stringMatching(/^target {2}\d+ events {2}[0-9a-f]{64}$/),
      'The logs are the same. Start a core on the target with a new data folder: it rebuilds the read models.',
    ]);
    const digest = await digestOf(FILE, source);
    expect(await digestOf(env)).toBe(digest);

    const back = await newDataDir();
    expect(await sheratan(['copy', '--from', url, '--to', back], source, FILE)).toMatchObject({ code: 0 });
    expect(await digestOf(FILE, back)).toBe(digest);
  });

  it('reports in one line what is wrong with its source or target', async () => {
    const dataDir = await dataDirOf(history(1, 1));
    const other = await dataDirOf(history(2, 2));
    const nowhere = await newDataDir();
    const standIn = await startStandIn();
    await standIn.refuse();
    const refusal = async (from: string, to: string) => {
      const { code, output, errors } = await sheratan(['copy', '--from', from, '--to', to], dataDir, FILE);
      expect({ code, output }).toEqual({ code: 78, output: [] });
      return errors.at(-1);
    };
    expect(await refusal(dataDir, dataDir)).toBe(
      'sheratan: --from and --to name the same log. Name two different logs.',
    );
    expect(await refusal(nowhere, dataDir)).toMatch(/^sheratan: --from: there is no log at .*Name a data folder, or/);
    expect(await refusal(dataDir, 'esdb://admin:secret@')).toMatch(/^sheratan: --to: it must be esdb:(?!.*secret)/);
    expect(await refusal(dataDir, other)).toMatch(
      /^sheratan: The target does not have the same first events as the source: event \d+ differs/,
    );
    expect(await refusal(dataDir, apart(standIn.url))).toMatch(
      /^sheratan: LOG_UNAVAILABLE: .* cannot be reached at present/,
    );
    await standIn.stop();
  });
});
