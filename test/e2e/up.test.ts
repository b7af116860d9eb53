import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { mutation } from '../support/documents.js';
import { takenPort } from '../infra/transfer/support.js';

/** The longest that a test waits for a condition, in milliseconds. */
const PATIENCE_MS = 50_000;

/** Starts everything; it is stopped with the test at the latest. */
async function up(dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Sheratan> {
  const machine = new Sheratan(['up'], dataDir, env);
  onTestFinished(() => machine.kill());
  await machine.listening();
  return machine;
}

/** The process id of the core that a machine runs; none while there is none. */
async function corePid(machine: Sheratan): Promise<number | undefined> {
  const [pid] = (await readFile(`/proc/${machine.pid}/task/${machine.pid}/children`, 'utf8')).split(' ');
  return pid === undefined || pid === '' ? undefined : Number(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds());) {
    if (performance.now() > end) throw new Error(`timed out while waiting until ${what}`);
    await delay(20);
  }
}

async function stopsOn(signal: NodeJS.Signals, machine: Sheratan, dataDir: string): Promise<void> {
  const pid = (await corePid(machine))!;
  expect(isAlive(pid)).toBe(true);
  machine.signal(signal);
  expect(await machine.ended).toEqual({ code: 0, signal: null });
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(corePaths(dataDir).address)).toBe(false);
  expect(machine.errors).toEqual([]);
}

describe('sheratan up', () => {
  it('starts the core, prints the address of the playground, and stops all on SIGINT, leaving nothing behind', async () => {
    const dataDir = await newDataDir();
    const machine = await up(dataDir);
    await until('all lines are printed', () => machine.output.length >= 4);
    expect(machine.output.slice(0, 4)).toEqual([
      `[core] Sheratan is at ${machine.url}`,
      `[core]   playground  ${machine.url}/playground/`,
      `[core]   GraphQL     ${machine.url}/graphql (HTTP and WebSocket)`,
      `[core]   data        ${dataDir}`,
    ]);
    expect((await fetch(`${machine.url}/playground/`)).status).toBe(200);
    await stopsOn('SIGINT', machine, dataDir);
  });

  it('stops all on SIGTERM as well', async () => {
    const dataDir = await newDataDir();
    await stopsOn('SIGTERM', await up(dataDir), dataDir);
  });

  it('starts the core again when it is killed, with everything that it acknowledged', async () => {
    const dataDir = await newDataDir();
    const machine = await up(dataDir);
    const { createMission } = await machine.gql(mutation('createMission'), {
      input: { title: 'To stay' },
      consistency: 'APPENDED',
    });
    const before = { url: machine.url, pid: (await corePid(machine))! };
    process.kill(before.pid, 'SIGKILL');
    await until('it listens elsewhere', () => machine.url !== before.url);
    expect(machine.output).toContain('[core] ended (killed); starting again in 0.5 s');
    await machine.live();
    const { mission } = await machine.gql('query ($id: ID!) { mission(id: $id) { title } }', {
      id: createMission.mission.id,
    });
    expect(mission).toEqual({ title: 'To stay' });

    const pid = (await corePid(machine))!;
    expect(pid).not.toBe(before.pid);
    expect(await machine.stop()).toEqual({ code: 0, signal: null });
    expect(isAlive(pid)).toBe(false);
  });

  it('does not leave the core behind when it is killed itself', async () => {
    const dataDir = await newDataDir();
    const machine = await up(dataDir);
    const pid = (await corePid(machine))!;
    onTestFinished(() => {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    });
    machine.signal('SIGKILL');
    await until('the core has gone', () => !isAlive(pid));
    expect(existsSync(corePaths(dataDir).address)).toBe(false);
  });

  it('stops while it waits to start the core again', async () => {
    const dataDir = await newDataDir();
    const machine = await up(dataDir);
    // Each wait is longer: the last is longer than this test may be delayed.
    for (const seconds of ['0.5', '1', '2']) {
      await until('there is a core', async () => (await corePid(machine)) !== undefined);
      process.kill((await corePid(machine))!, 'SIGKILL');
      await until('it reports the restart', () =>
        machine.output.some((line) => line.endsWith(`starting again in ${seconds} s`)),
      );
    }
    expect(await machine.stop()).toEqual({ code: 0, signal: null });
  });

  it('stops while the core is starting and does not handle signals yet', async () => {
    const machine = new Sheratan(['up'], await newDataDir(), { OFFGRID_BROKER_URL: '' });
    onTestFinished(() => machine.kill());
    await until('there is a core', async () => (await corePid(machine)) !== undefined);
    machine.signal('SIGTERM');
    expect(await machine.ended).toEqual({ code: 0, signal: null });
  });

  it('ends with exit code 78 and one message when a setting is wrong', async () => {
    const machine = new Sheratan(['up'], await newDataDir(), { SHERATAN_PORT: 'http' });
    expect(await machine.ended).toEqual({ code: 78, signal: null });
    expect(machine.output).toEqual([]);
    expect(machine.errors).toEqual(["sheratan: SHERATAN_PORT: 'http' must be a port: 0–65535"]);
  });

  it('ends with exit code 78 and one message when the core cannot start, instead of trying forever', async () => {
    const machine = new Sheratan(['up'], await newDataDir(), { SHERATAN_PORT: String(await takenPort()) });
    expect(await machine.ended).toEqual({ code: 78, signal: null });
    expect(machine.output).toEqual([expect.stringMatching(/^\[core\] sheratan: .*EADDRINUSE.*set SHERATAN_PORT/)]);
    expect(machine.errors).toEqual([]);
  });
});
