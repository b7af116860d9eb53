import { text } from 'node:stream/consumers';
import type { Config } from '../app/config.js';
import { readKeyring } from '../crypto/keyring-file.js';
import { parseRecoveryKey } from '../crypto/recovery-key.js';
import type { RootKey } from '../crypto/root-key.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';

/** Reads a recovery key: the text itself, or from stdin for `-`. @throws CliError */
export async function readRecoveryKey(given: string): Promise<RootKey> {
  const key = given === '-' ? await text(process.stdin) : given;
  try {
    return parseRecoveryKey(key);
  } catch (error) {
    throw new CliError(error instanceof Error ? error.message : String(error));
  }
}

/** The root key: the given one, or the one in the core's keyring. @throws CliError, KeyringError */
export async function rootKey(given: string | undefined, config: Config): Promise<RootKey> {
  if (given !== undefined) return readRecoveryKey(given);
  const { keyring } = corePaths(config.dataDir);
  const root = await readKeyring(keyring, config.offgrid.keyPassphrase);
  if (root !== undefined) return root;
  throw new CliError(
    `There is no keyring at ${keyring}. Pass --key - and type the recovery key, or set SHERATAN_RECOVERY_KEY. Without the key, what the hosts have cannot be read.`,
  );
}
