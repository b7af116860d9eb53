import type { KeyRotated } from '../../../domain/keyring.js';
import { toHex } from '../../crypto/bytes.js';
import { dataKey, KEY_BYTES } from '../../crypto/data-key.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Time } from '../../platform/clock.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import type { ShippingState } from './ports.js';

/** How long to wait after the log could not be read or written, in milliseconds. */
const RETRY_MS = 1_000;

/** Why nothing is shipped, for a reason other than the hosts. */
export type Refusal = 'OTHER_ORIGIN' | 'OTHER_ROOT_KEY';

/** Dependencies of the first key. */
export interface FirstKeyDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly known: () => ShippingState;
  /** Resolves once the recorded key is known. */
  readonly record: (fact: KeyRotated) => Promise<void>;
  readonly time: Time;
  /** @param length in bytes */
  readonly randomBytes: (length: number) => Uint8Array;
  readonly logger: Logger;
}

/**
 * Decides whether the log is this origin's; makes its first key where it has none. Resolves why nothing may be shipped;
 * undefined when it may be, or when the signal aborts.
 */
export async function refusalOf(
  { origin, root, known, record, time, randomBytes, logger }: FirstKeyDependencies,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const failures = new FailureLog(logger, 'the first key cannot be recorded');
  while (known().keys.length === 0 && !signal.aborted) {
    try {
      await record(newKey(root, origin, 1, randomBytes(KEY_BYTES)));
      failures.succeeded();
      // Without this wait, an outbox that does not show the key yet would cause key after key to be recorded.
      if (known().keys.length === 0) await time.sleep(RETRY_MS, signal);
    } catch (error) {
      failures.failed(error);
      await time.sleep(RETRY_MS, signal);
    }
  }
  if (signal.aborted) return undefined;
  const named = known().origin;
  const rootKeyId = known().keys[0]?.rootKeyId;
  if (named !== origin) {
    logger.error(
      `Nothing is replicated: this log belongs to origin '${named ?? ''}', and SHERATAN_ORIGIN is '${origin}'. Set SHERATAN_ORIGIN to the origin of the log.`,
    );
    return 'OTHER_ORIGIN';
  }
  if (rootKeyId === root.id) return undefined;
  logger.error(
    `Nothing is replicated: this log is sealed with root key ${rootKeyId ?? ''}, and the keyring holds ${root.id}. Import the recovery key of the log: sheratan keys import.`,
  );
  return 'OTHER_ROOT_KEY';
}

/** The event that begins a key epoch. @param bytes of the key, random */
export function newKey(root: RootKey, origin: string, keyEpoch: number, bytes: Uint8Array): KeyRotated {
  const key = dataKey(bytes);
  const wrappedKey = root.wrap(key, origin, keyEpoch);
  return {
    type: 'KeyRotated',
    data: { origin, keyEpoch, keyId: toHex(key.id), rootKeyId: root.id, wrappedKey },
  };
}
