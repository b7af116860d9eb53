import { readFile, rename, rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { formatRecoveryKey } from '../../../src/infra/crypto/recovery-key.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { Sheratan } from '../../support/core.js';
import { newHost } from '../../support/offgrid/host.js';
import {
  newMission,
  recoveryKeyOf,
  replicating,
  settled,
  settledMachine,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';

describe('a core whose key file is lost', () => {
  it('reports that nothing is replicated, accepts only its own key, and continues with that key', async () => {
    const host = await newHost();
    const { core, dataDir } = await settledMachine([host.url]);
    const key = await recoveryKeyOf(dataDir);
    await core.stop();
    const { keyring } = corePaths(dataDir);
    await rename(keyring, `${keyring}.lost`);

    const without = await Sheratan.serve(dataDir, replicating([host.url]));
    await expect
      .poll(() => statusOf(without), WAIT)
      .toMatchObject({ degraded: true, refusal: 'KEYRING_MISSING', stopped: null, headSequence: 2 });
    expect([...without.output, ...without.errors].join('\n')).toMatch(
      /This core replicates nothing: .*keyring\.json is missing.*sheratan keys import/,
    );
    expect(await (await fetch(`${without.url}/readyz`)).json()).toMatchObject({
      reasons: ['replication: KEYRING_MISSING'],
    });
    expect(await newMission(without, {}, 'REPLICATED')).toMatchObject({ durability: 'PROJECTED' });
    await without.stop();
    await expect(readFile(keyring)).rejects.toThrow('ENOENT');

    const wrong = formatRecoveryKey(RootKey.generate());
    expect(await Sheratan.run(['keys', 'import', wrong], dataDir)).toMatchObject({ code: 0 });
    const other = await Sheratan.serve(dataDir, replicating([host.url]));
    await expect
      .poll(() => statusOf(other), WAIT)
      .toMatchObject({ degraded: true, refusal: 'OTHER_ROOT_KEY', quorumSequence: 2, pending: 1 });
    await other.stop();

    const over = await Sheratan.run(['keys', 'import', key], dataDir);
    expect(over.code).not.toBe(0);
    expect(over.errors.join('\n')).toContain('exists already and is not replaced');
    await rm(keyring);
    expect(await Sheratan.run(['keys', 'import', key], dataDir)).toMatchObject({ code: 0 });
    const again = await Sheratan.serve(dataDir, replicating([host.url]));
    await settled(again, 3);
    expect(await statusOf(again)).toMatchObject({ refusal: null, quorumSequence: 3 });
  });

  it('accepts no recovery key with a typing error', async () => {
    const host = await newHost();
    const { core, dataDir } = await settledMachine([host.url]);
    const key = await recoveryKeyOf(dataDir);
    await core.stop();
    await rm(corePaths(dataDir).keyring);
    const slipped = key.replace(/[0-9A-Z](?=[^0-9A-Z]*$)/, (last) => (last === '7' ? '8' : '7'));
    const refused = await Sheratan.run(['keys', 'import', slipped], dataDir);
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toHaveLength(1);
    await expect(readFile(corePaths(dataDir).keyring)).rejects.toThrow('ENOENT');
  });
});

describe('a key file that is wrapped with a passphrase', () => {
  it('opens only with that passphrase: another, or none, gives one clear error at the start', async () => {
    const host = await newHost();
    const passphrase = { SHERATAN_KEY_PASSPHRASE: 'correct horse battery' };
    const { core, dataDir } = await settledMachine([host.url], passphrase);
    await core.stop();
    const wrong = await Sheratan.run(
      ['serve'],
      dataDir,
      replicating([host.url], { SHERATAN_KEY_PASSPHRASE: 'another one' }),
    );
    expect(wrong.code).toBe(78);
    expect(wrong.errors).toEqual([
      expect.stringMatching(/PASSPHRASE_WRONG: SHERATAN_KEY_PASSPHRASE does not open .*keyring\.json/),
    ]);
    const none = await Sheratan.run(['serve'], dataDir, replicating([host.url]));
    expect(none.code).toBe(78);
    expect(none.errors).toEqual([expect.stringMatching(/PASSPHRASE_NEEDED: .*set SHERATAN_KEY_PASSPHRASE/)]);
    const again = await Sheratan.serve(dataDir, replicating([host.url], passphrase));
    expect(await newMission(again, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  });
});
