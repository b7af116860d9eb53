import type { ReplicatedEvent } from '../../../domain/event.js';
import type { JsonObject } from '../../../domain/json.js';
import { beginsEpoch, isKeyRotated, type KnownKey, sealingEpoch } from '../../../domain/keyring.js';
import type { DataKey } from '../../crypto/data-key.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { AddressedEvent, ShippedEvent } from '../protocol/event.js';
import { Sealer, WrongRootError } from '../protocol/sealer.js';
import { RepairError } from './errors.js';

/** The keys of a log, as its KeyRotated events give them one after the other. */
export class KnownKeys {
  readonly all: KnownKey[] = [];
  readonly #root: RootKey;
  readonly #origin: string;
  readonly #sealer: Sealer;

  constructor(root: RootKey, origin: string) {
    this.#root = root;
    this.#origin = origin;
    this.#sealer = new Sealer(root, origin);
  }

  /** Takes the key of a KeyRotated, if it begins an epoch of this log. */
  learn(sequence: number, data: JsonObject): void {
    if (!isKeyRotated(data)) return;
    const first = { origin: this.#origin, rootKeyId: this.all[0]?.rootKeyId ?? data.rootKeyId };
    if (!beginsEpoch(data, first, (epoch) => this.all.some(({ keyEpoch }) => keyEpoch === epoch))) return;
    const { keyEpoch, keyId, rootKeyId, wrappedKey } = data;
    this.all.push({ sequence, keyEpoch, keyId, rootKeyId, wrappedKey });
  }

  /** The key that seals an event, unless it is a KeyRotated. @throws RepairError when the root key is another */
  at(sequence: number): DataKey {
    const epoch = sealingEpoch(this.all, { sequence, type: '' });
    return epoch === undefined ? this.#root.firstDataKey : this.#withRoot(() => this.#sealer.keyOf(epoch));
  }

  /** Seals an event as the replicator does. @throws RepairError when the root key is another */
  seal(event: ReplicatedEvent): AddressedEvent {
    return this.#withRoot(() => this.#sealer.seal(event, this.all));
  }

  /** Like `seal`, for an event that may be one of the log's holes. @throws RepairError when the root key is another */
  shipped(event: ReplicatedEvent, holes: ReadonlySet<number>): ShippedEvent {
    return this.#withRoot(() => this.#sealer.shipped(event, { keys: this.all, holes }));
  }

  #withRoot<R>(work: () => R): R {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof WrongRootError)) throw error;
      throw new RepairError(`${error.message} Give the recovery key of this log: --key -.`, { cause: error });
    }
  }
}
