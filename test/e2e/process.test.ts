import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { eventsOf, sheratan, takenPort } from '../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { mutation } from '../support/documents.js';
import { mountSmallDisk } from '../support/file-limits.js';
import type { Untyped } from '../support/node.js';

const DISK_BYTES = 12 * 1024 * 1024;
/** The number of clients that wait for missions in parallel. */
const CLIENTS = 8;

/** Asks for a mission; resolves with its id, or with the error it was refused with. */
async function createMission(core: Sheratan, input: object = {}): Promise<{ id?: string; error?: Untyped }> {
  const document = mutation('createMission');
  const { data, errors } = await core.ask(document, {
    input: { title: 'A mission', ...input },
    consistency: 'APPENDED',
  });
  return errors === undefined ? { id: data.createMission.mission.id } : { error: errors[0] };
}

/** States that a core does not start: it ends with exit code 78 and one message. */
async function refusesToStart(dataDir: string, message: RegExp, env: Readonly<Record<string, string>> = {}) {
  const { code, output, errors } = await sheratan(['serve'], dataDir, env);
  expect(errors).toEqual([expect.stringMatching(message)]);
  expect({ code, output }).toEqual({ code: 78, output: [] });
}

describe('a core does not start, and states in one line what to do,', () => {
  it('when its port is in use', async () => {
    const port = await takenPort();
    const message = new RegExp(`^sheratan: .*EADDRINUSE.*127\\.0\\.0\\.1:${port}.*set SHERATAN_PORT to another`);
    await refusesToStart(await newDataDir(), message, { SHERATAN_PORT: String(port) });
  });

  it('when a setting is wrong', async () => {
    await refusesToStart(await newDataDir(), /^sheratan: SHERATAN_LOG_LEVEL: 'loud' must be one of /, {
      SHERATAN_LOG_LEVEL: 'loud',
    });
    await refusesToStart(await newDataDir(), /^sheratan: SHERATAN_API_TOKENS: must be set .* '0\.0\.0\.0'$/, {
      SHERATAN_BIND: '0.0.0.0',
    });
  });

  it('when a file is where its folder should be', async () => {
    const dataDir = await newDataDir();
    await writeFile(join(dataDir, 'core'), '');
    await refusesToStart(dataDir, /^sheratan: EEXIST.*core.*SHERATAN_DATA_DIR/);
    await refusesToStart(join(dataDir, 'core', 'data'), /^sheratan: ENOTDIR.*core.*a file is in the place of a folder/);
  });

  it('when folders are where its files should be', async () => {
    const [log, missions, lock] = await Promise.all(
      (['log', 'missions', 'missionsLock'] as const).map(async (name) => {
        const dataDir = await newDataDir();
        await mkdir(corePaths(dataDir)[name], { recursive: true });
        return dataDir;
      }),
    );
    await refusesToStart(log!, /^sheratan: LOG_READONLY: .*log\.db cannot be opened/);
    await refusesToStart(missions!, /^sheratan: .*missions\.db/);
    await refusesToStart(lock!, /^sheratan: .*missions\.lock.*set SHERATAN_DATA_DIR/);
  });

  it('when another core runs on the same folder, which is not disturbed', async () => {
    const dataDir = await newDataDir();
    const core = await Sheratan.serve(dataDir);
    await refusesToStart(
      dataDir,
      /^sheratan: PROJECTION_BUSY: Another core runs on this data folder .*SHERATAN_DATA_DIR/,
    );
    expect(await createMission(core)).toHaveProperty('id');
    expect((await sheratan(['replay'], dataDir)).output[0]).toContain('by the running core');
  });
});

describe('SIGTERM under load', () => {
  it('ends a core with exit code 0 within 10 s, and everything it acknowledged is recorded', async () => {
    const dataDir = await newDataDir();
    const core = await Sheratan.serve(dataDir);
    const acknowledged: string[] = [];
    const clients = Array.from({ length: CLIENTS }, async () => {
      for (;;) {
        const answer = await createMission(core).catch(() => undefined);
        if (answer?.id === undefined) return;
        acknowledged.push(answer.id);
      }
    });
    while (acknowledged.length < 200) await delay(5);
    core.signal('SIGTERM');
    const timeout = delay(10_000, 'too late', { ref: false });
    expect(await Promise.race([core.ended, timeout])).toEqual({ code: 0, signal: null });
    await Promise.all(clients);
    const recorded = new Set((await eventsOf(dataDir)).map(({ stream }) => stream));
    expect(acknowledged.filter((id) => !recorded.has(`mission-${id}`))).toEqual([]);
    expect(core.errors).toEqual([]);
  });
});

describe('a full disk', () => {
  it('refuses mutations and states what to do; queries continue, mutations too once there is space; nothing is lost', async () => {
    const disk = join(await newDataDir(), 'disk');
    const unmount = await mountSmallDisk(disk, DISK_BYTES);
    onTestFinished(async () => {
      await unmount();
    });
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(DISK_BYTES / 2));
    const core = await Sheratan.serve(disk, { SHERATAN_LOG_LEVEL: 'silent' });
    const description = 'x'.repeat(10_000);
    const acknowledged: string[] = [];
    let refused: Untyped;
    while (refused === undefined) {
      const { id, error } = await createMission(core, { description });
      if (id !== undefined) acknowledged.push(id);
      refused = error;
    }
    expect(refused.extensions.code).toBe('LOG_FULL');
    expect(refused.message).toMatch(/disk .*full; nothing was written\. Free space and try again/);
    expect(acknowledged.length).toBeGreaterThan(10);

    for (let i = 0; i < 3; i += 1) {
      const { error } = await createMission(core, { description, metadata: { more: 'x'.repeat(50_000) } });
      expect(error.extensions.code).toBe('LOG_FULL');
    }
    const { mission } = await core.gql('query ($id: ID!) { mission(id: $id) { title } }', { id: acknowledged[0] });
    expect(mission).toEqual({ title: 'A mission' });

    await rm(filler);
    const again = await createMission(core, { title: 'Once there is room' });
    acknowledged.push(again.id!);
    await core.live();
    const { missions } = await core.gql('{ missions { totalCount } }');
    expect(missions.totalCount).toBe(acknowledged.length);
    expect(await core.stop()).toEqual({ code: 0, signal: null });
    expect((await eventsOf(disk)).map(({ stream }) => stream)).toEqual(acknowledged.map((id) => `mission-${id}`));
    expect((await sheratan(['verify'], disk)).code).toBe(0);
  });
});
