import { mkdir, rm } from 'node:fs/promises';
import { expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { ProcessLock } from '../../../src/infra/sqlite/process-lock.js';
import { TestNode } from '../../support/node.js';

it('closes everything when it stops, even if one part cannot be closed, and reports the failure', async () => {
  const node = await TestNode.start();
  onTestFinished(() => node.stop());
  const { url } = node;
  const { address, missionsLock } = corePaths(node.folder);
  // A folder where the file was cannot be removed as one.
  await rm(address);
  await mkdir(address);
  await expect(node.halt()).rejects.toThrow(address);
  await expect(fetch(`${url}/livez`)).rejects.toThrow('fetch failed');
  const lock = await ProcessLock.take(missionsLock, 0);
  expect(lock).toBeDefined();
  await lock?.release();
});
