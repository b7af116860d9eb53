import { mkdir } from 'node:fs/promises';
import type { Config } from '../app/config.js';
import { toHex } from '../crypto/bytes.js';
import { writeKeyring } from '../crypto/keyring-file.js';
import { formatRecoveryKey } from '../crypto/recovery-key.js';
import { knownHosts } from '../maintenance/known-hosts.js';
import { verifyKeyOf } from '../offgrid/protocol/verify-key.js';
import { corePaths } from '../platform/core-paths.js';
import { readRecoveryKey, rootKey } from './recovery-key.js';

/** `sheratan keys export`: prints what a restore on an empty machine needs. @throws CliError, KeyringError */
export async function exportKeys(config: Config, print: (line: string) => void): Promise<number> {
  const root = await rootKey(undefined, config);
  const hosts = await knownHosts(corePaths(config.dataDir).outbox);
  print('Keep this on paper, away from this machine. Anyone who has it can read everything.');
  print(`recovery key  ${formatRecoveryKey(root)}`);
  print(`origin        ${config.offgrid.origin}`);
  print(`verify key    ${toHex(verifyKeyOf(root.verifyKey))}`);
  for (const { url, host } of hosts) print(`host          ${url}#${host}`);
  print('');
  print('To restore on an empty machine, with the OFFGRID_AUTH_KEY of this machine if it is set:');
  print(
    `  sheratan restore --hosts '${hosts.map(({ url, host }) => `${url}#${host}`).join(',') || 'URL#FINGERPRINT,…'}' --key -`,
  );
  return 0;
}

/** `sheratan keys import`: writes a recovery key into the keyring. @throws CliError; KeyringError when there is a keyring */
export async function importKeys(given: string, config: Config, print: (line: string) => void): Promise<number> {
  const { folder, keyring } = corePaths(config.dataDir);
  const root = await readRecoveryKey(given);
  await mkdir(folder, { recursive: true });
  await writeKeyring(keyring, root, config.offgrid.keyPassphrase);
  print(`${keyring} now holds root key ${root.id}`);
  return 0;
}
