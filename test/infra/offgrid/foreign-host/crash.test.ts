import { it } from 'vitest';
import { killWhileItTakesBatches } from '../../../support/offgrid/conformance/crash.js';
import { ForeignHost } from '../../../support/offgrid/foreign-host.js';
import { newFolder } from '../../../support/offgrid/host.js';

const ROUNDS = Number(process.env['HOST_CRASH_ROUNDS'] ?? 8);
const TIMEOUT_MS = 60_000 + ROUNDS * 10_000;

it(
  'a host in Python that is killed while it takes batches keeps each completely or not at all',
  { timeout: TIMEOUT_MS },
  async () => {
    const folder = await newFolder();
    await killWhileItTakesBatches(async () => {
      const host = await ForeignHost.start({ folder });
      return { host, kill: () => host.kill() };
    }, ROUNDS);
  },
);
