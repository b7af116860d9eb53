import type { Fact } from './event.js';

/**
 * Begins a key epoch: the events after it are sealed with another key. That key is wrapped with a key derived from the root
 * key, so that the root key and the log give every key; the root key's id shows to which root key the log belongs.
 */
export type KeyRotated = Fact<
  'KeyRotated',
  {
    readonly origin: string;
    /** From 1. */
    readonly keyEpoch: number;
    /** Hexadecimal. */
    readonly keyId: string;
    /** Hexadecimal. */
    readonly rootKeyId: string;
    /** Base64. */
    readonly wrappedKey: string;
  }
>;

/** The stream of an origin's KeyRotated events. */
export function keyringStream(origin: string): string {
  return `keyring-${origin}`;
}

/** A key epoch and its beginning. */
export interface KeyEpoch {
  readonly keyEpoch: number;
  /** The sequence of its KeyRotated, which is sealed with the key of epoch 0; the next event is the first of the epoch. */
  readonly sequence: number;
}

/**
 * The key epoch that seals an event: the epoch of the latest KeyRotated before it. Epoch 0, whose key is derived from the root
 * key, seals the events before the first KeyRotated, and every KeyRotated.
 * @param epochs in the order of their sequences
 * @returns undefined for epoch 0
 */
export function sealingEpoch<E extends KeyEpoch>(
  epochs: readonly E[],
  event: { readonly sequence: number; readonly type: string },
): E | undefined {
  if (event.type === 'KeyRotated') return undefined;
  return epochs.findLast(({ sequence }) => sequence < event.sequence);
}

/** Whether the data of an event has the shape of a KeyRotated. */
export function isKeyRotated(data: object): data is KeyRotated['data'] {
  const { origin, keyEpoch, keyId, rootKeyId, wrappedKey } = data as Readonly<Record<string, unknown>>;
  return (
    [origin, keyId, rootKeyId, wrappedKey].every((value) => typeof value === 'string') && Number.isSafeInteger(keyEpoch)
  );
}

/** The first KeyRotated of a log: it names the origin and the root key that the log belongs to. */
export type FirstKey = Pick<KeyRotated['data'], 'origin' | 'rootKeyId'>;

/**
 * Whether a KeyRotated begins a key epoch. One of another origin or another root key came from another log and has no
 * effect here. Of two with the same epoch only the first has effect: the events between them are already sealed with its key.
 * @param first the first KeyRotated of the log; undefined when there is none yet
 * @param isKnown whether an epoch has already begun
 */
export function beginsEpoch(
  key: KeyRotated['data'],
  first: FirstKey | undefined,
  isKnown: (keyEpoch: number) => boolean,
): boolean {
  if (first === undefined) return true;
  return key.origin === first.origin && key.rootKeyId === first.rootKeyId && !isKnown(key.keyEpoch);
}

/** A key epoch as the log knows it. */
export interface KnownKey extends KeyEpoch {
  /** Hexadecimal. */
  readonly keyId: string;
  readonly rootKeyId: string;
  /** Base64. */
  readonly wrappedKey: string;
}
