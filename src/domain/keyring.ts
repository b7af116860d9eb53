import type { Fact } from './event.js';

/**
 * From here on events are sealed with another key. It is wrapped with a key of the root, so that the root and the log
 * give every key; the root's id tells whose log it is.
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

/** The stream of an origin's keys. */
export function keyringStream(origin: string): string {
  return `keyring-${origin}`;
}

/** A key epoch, and where it begins. */
export interface KeyEpoch {
  readonly keyEpoch: number;
  /** The sequence of its KeyRotated, which the first key of all seals; the next event is the first of the epoch. */
  readonly sequence: number;
}

/**
 * Which key epoch seals an event: that of the latest KeyRotated below it. Epoch 0, the key that follows from the root,
 * seals what comes before the first one, and every KeyRotated.
 * @param epochs in the order of their sequences
 */
export function sealingEpoch<E extends KeyEpoch>(
  epochs: readonly E[],
  event: { readonly sequence: number; readonly type: string },
): E | undefined {
  if (event.type === 'KeyRotated') return undefined;
  return epochs.findLast(({ sequence }) => sequence < event.sequence);
}

/** Whether the data of a KeyRotated has its shape. */
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
 * effect here, and of two of one epoch the first is the one: what lies between them is sealed with it already.
 * @param first of the log; undefined when there is none yet
 * @param isKnown whether the epoch has begun already
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
