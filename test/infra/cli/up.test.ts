import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { up } from '../../../src/infra/cli/up.js';
import { newDataDir } from '../../support/core.js';

it('ends well when a process is stopped that does not listen to signals yet', async () => {
  const script = join(await newDataDir(), 'starting.mjs');
  await writeFile(script, "setInterval(() => undefined, 1_000);\nconsole.log('starting');\n");
  // It lets go of the channel, by which the process of the tests is held.
  onTestFinished(() => process.channel?.ref());
  const printed: string[] = [];
  const ended = up([{ name: 'core', args: [] }], script, (line) => printed.push(line));
  await expect.poll(() => printed).toEqual(['[core] starting']);
  process.emit('SIGINT');
  expect(await ended).toBe(0);
});
