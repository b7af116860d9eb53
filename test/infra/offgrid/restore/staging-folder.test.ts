import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StagingFolder } from '../../../../src/infra/offgrid/restore/staging-folder.js';
import { newFolder } from '../../../support/offgrid/host.js';

/** A folder to restore into that has a keyring, and a stage with a log. */
async function staged() {
  const target = join(await newFolder(), 'core');
  await mkdir(target);
  await writeFile(join(target, 'keyring.json'), 'the keyring');
  const stage = await StagingFolder.open(target);
  await writeFile(stage.paths.log, 'a log');
  return { target, before: `${target}.before`, stage };
}

describe('the stage of a restore', () => {
  it('becomes the folder, and leaves nothing beside it', async () => {
    const { target, before, stage } = await staged();
    await stage.finish();
    expect(await readFile(join(target, 'log.db'), 'utf8')).toBe('a log');
    expect([existsSync(before), existsSync(stage.paths.folder)]).toEqual([false, false]);
  });

  it('puts the keyring back after a kill between the two renames', async () => {
    const { target, before } = await staged();
    await rename(target, before);
    await StagingFolder.recover(target);
    expect(await readFile(join(target, 'keyring.json'), 'utf8')).toBe('the keyring');
    expect(existsSync(before)).toBe(false);
  });

  it('does not change a complete core after a kill between the last rename and the end', async () => {
    const { target, before, stage } = await staged();
    await rename(target, before);
    await rename(stage.paths.folder, target);
    await StagingFolder.recover(target);
    expect(await readFile(join(target, 'log.db'), 'utf8')).toBe('a log');
    expect(existsSync(before)).toBe(false);
    await expect(StagingFolder.open(target)).rejects.toThrow('is not empty');
  });
});
