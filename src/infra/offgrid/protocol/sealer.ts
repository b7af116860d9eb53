import type { ReplicatedEvent } from '../../../domain/event.js';
import { isHistoryHole } from '../../../domain/history-hole.js';
import { type KnownKey, sealingEpoch } from '../../../domain/keyring.js';
import { fromHex } from '../../crypto/bytes.js';
import type { DataKey } from '../../crypto/data-key.js';
import { addressOf, seal } from '../../crypto/envelope.js';
import type { RootKey } from '../../crypto/root-key.js';
import { eventText } from './event-text.js';
import type { AddressedEvent, ShippedEvent } from './event.js';

/** A data key of the log cannot be unwrapped with the root key of this core. */
export class WrongRootError extends Error {
  override readonly name = 'WrongRootError';
}

/** Seals the events of an origin. The log determines which key seals which event. */
export class Sealer {
  readonly #root: RootKey;
  readonly #origin: string;
  readonly #keys = new Map<number, DataKey>();

  constructor(root: RootKey, origin: string) {
    this.#root = root;
    this.#origin = origin;
  }

  /**
   * An event as it is shipped; for a hole, the members of the entry that the origin signed. Only the log's own facts, `holes`,
   * determine which events are holes: a HistoryHole that came from elsewhere is an event like any other.
   * @throws WrongRootError
   */
  shipped(
    numbered: ReplicatedEvent,
    { keys, holes }: { readonly keys: readonly KnownKey[]; readonly holes: ReadonlySet<number> },
  ): ShippedEvent {
    const { sequence, event } = numbered;
    const { type, data } = event;
    if (type !== 'HistoryHole' || !holes.has(sequence) || !isHistoryHole(data)) return this.seal(numbered, keys);
    return { sequence, etype: data.etype, ts: data.ts, sealed: null, eid: fromHex(data.eid) };
  }

  /** Seals an event with the key of its sequence. @throws WrongRootError */
  seal({ sequence, event }: ReplicatedEvent, keys: readonly KnownKey[]): AddressedEvent {
    const { etype, type } = event;
    const ts = Date.parse(event.metadata.at);
    const epoch = sealingEpoch(keys, { sequence, type });
    const key = epoch === undefined ? this.#root.firstDataKey : this.keyOf(epoch);
    const sealed = seal(key, { origin: this.#origin, sequence, etype, at: ts }, eventText(event));
    return { sequence, etype, ts, sealed, eid: addressOf(sealed) };
  }

  /** The key of an epoch. @throws WrongRootError */
  keyOf({ keyEpoch, keyId, wrappedKey }: KnownKey): DataKey {
    const known = this.#keys.get(keyEpoch);
    if (known !== undefined) return known;
    const key = this.#root.unwrap(wrappedKey, { origin: this.#origin, keyEpoch, keyId });
    if (key === undefined)
      throw new WrongRootError(
        `Data key ${keyEpoch} of '${this.#origin}' cannot be unwrapped with root key ${this.#root.id}.`,
      );
    this.#keys.set(keyEpoch, key);
    return key;
  }
}
