import { text } from 'node:stream/consumers';
import type { Config } from '../app/config.js';
import { readKeyring } from '../crypto/keyring-file.js';
import { parseRecoveryKey } from '../crypto/recovery-key.js';
import type { RootKey } from '../crypto/root-key.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';

/** The recovery key from what was given: the key itself, or `-` for stdin. @throws CliError */
export async function readRecoveryKey(given: string): Promise<RootKey> {
  const key = given === '-' ? await text(process.stdin) : given;
  try {
    return parseRecoveryKey(key);
  } catch (error) {
    throw new CliError(error instanceof Error ? error.message : String(error));
  }
}

/** The root key to work with: the one given, or that of the core's keyring. @throws CliError, KeyringError */
export async function rootKey(given: string | undefined, config: Config): Promise<RootKey> {
  if (given !== undefined) return readRecoveryKey(given);
  const { keyring } = corePaths(config.dataDir);
  const root = await readKeyring(keyring, config.offgrid.keyPassphrase);
  if (root !== undefined) return root;
  throw new CliError(
    `There is no ${keyring}. Give the recovery key: --key -, and type it, or set SHERATAN_RECOVERY_KEY. Without it nobody can read what the hosts have.`,
  );
}
