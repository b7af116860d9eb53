import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { startHost, type HostOptions, type RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { quiet } from '../quiet.js';

/** The key that core, hosts and broker of a test share. */
export const AUTH_KEY = 'a key that only the test knows';

/** The default settings of a test's host. */
export const HOST_DEFAULTS = {
  name: 'host-a',
  bind: '127.0.0.1',
  port: 0,
  authKey: AUTH_KEY,
  budgetBytes: 256 * 1024 * 1024,
  chunkThreshold: 1_024,
} as const;

/** A temporary folder, which is removed when the test ends. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-offgrid-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A host in this process, over real sockets and files; it stops when the test ends. */
export async function newHost(options: Partial<HostOptions> = {}): Promise<RunningHost> {
  const host = await startHost({
    folder: options.folder ?? (await newFolder()),
    ...HOST_DEFAULTS,
    clock: systemClock,
    logger: quiet,
    ...options,
  });
  onTestFinished(() => host.close());
  return host;
}
