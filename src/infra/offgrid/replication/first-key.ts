import type { KeyRotated } from '../../../domain/keyring.js';
import { toHex } from '../../crypto/bytes.js';
import { dataKey, KEY_BYTES } from '../../crypto/data-key.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Time } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import type { ShippingState } from './ports.js';

/** How long the log is left when it cannot be read or written, in milliseconds. */
const RETRY_MS = 1_000;

/** Why nothing is shipped, though nothing is wrong with the hosts. */
export type Refusal = 'OTHER_ORIGIN' | 'OTHER_ROOT_KEY';

/** What the first key is made with. */
export interface FirstKeyDependencies {
  readonly origin: string;
  readonly root: RootKey;
  readonly known: () => ShippingState;
  /** Resolves once what was recorded is known. */
  readonly record: (fact: KeyRotated) => Promise<void>;
  readonly time: Time;
  /** @param length in bytes */
  readonly randomBytes: (length: number) => Uint8Array;
  readonly logger: Logger;
}

/** Whose the log is: its first key is made here. Resolves why nothing may be shipped, if so, or when the signal comes. */
export async function refusalOf(
  { origin, root, known, record, time, randomBytes, logger }: FirstKeyDependencies,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  while (known().keys.length === 0 && !signal.aborted) {
    try {
      await record(newKey(root, origin, 1, randomBytes(KEY_BYTES)));
      // An outbox that does not show it by now would have key after key recorded.
      if (known().keys.length === 0) await time.sleep(RETRY_MS, signal);
    } catch (error) {
      logger.error({ err: error }, 'the first key cannot be recorded; trying again');
      await time.sleep(RETRY_MS, signal);
    }
  }
  if (signal.aborted) return undefined;
  const named = known().origin;
  const rootKeyId = known().keys[0]?.rootKeyId;
  if (named !== origin) {
    logger.error(
      `Nothing is replicated: this log is that of origin '${named ?? ''}', and SHERATAN_ORIGIN is '${origin}'.`,
    );
    return 'OTHER_ORIGIN';
  }
  if (rootKeyId === root.id) return undefined;
  logger.error(
    `Nothing is replicated: this log is sealed with root key ${rootKeyId ?? ''}, and the keyring holds ${root.id}. Put back the key it had: sheratan keys import.`,
  );
  return 'OTHER_ROOT_KEY';
}

/** A new key epoch. @param bytes of the key, random */
export function newKey(root: RootKey, origin: string, keyEpoch: number, bytes: Uint8Array): KeyRotated {
  const key = dataKey(bytes);
  const wrappedKey = root.wrap(key, origin, keyEpoch);
  return {
    type: 'KeyRotated',
    data: { origin, keyEpoch, keyId: toHex(key.id), rootKeyId: root.id, wrappedKey },
  };
}
