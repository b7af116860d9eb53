import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killWhileItTakesBatches } from '../../../support/offgrid/conformance/crash.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { HostProcess } from '../../../support/offgrid/host-process.js';

/** How often the host is killed; raise it to look for rare failures. */
const ROUNDS = Number(process.env['HOST_CRASH_ROUNDS'] ?? 20);
const TIMEOUT_MS = 30_000 + ROUNDS * 5_000;

it(
  'a host that is killed while it takes batches has each completely or not at all',
  { timeout: TIMEOUT_MS },
  async () => {
    const folder = await newFolder();
    const host = await killWhileItTakesBatches(() => HostProcess.start(folder), ROUNDS);
    const files = await readdir(join(folder, 'blobs'), { recursive: true });
    expect(files.filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(await host.stop()).toBe(0);
  },
);
