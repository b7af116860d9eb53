import { ETYPES, isEventType } from '../../../domain/event.js';
import type { DataKey } from '../../crypto/data-key.js';
import { open } from '../../crypto/envelope.js';
import type { RootKey } from '../../crypto/root-key.js';
import { eventOf, type TravellingEvent } from '../event-text.js';
import type { ReturnedEvent } from '../replicator/host-port.js';

/** An event that came back whole, with its number. */
export interface OpenedEvent extends TravellingEvent {
  readonly sequence: number;
}

/** An event is not what its origin sealed at this place. */
export class NotSealedHere extends Error {
  override readonly name = 'NotSealedHere';
}

/** Opens the events of an origin one after the other, learning its keys on the way. */
export class Opener {
  readonly #root: RootKey;
  readonly #origin: string;
  readonly #epochs = new Set<number>();
  #key: DataKey;

  /** @param key of the epoch to begin in; that of the first unless given */
  constructor(root: RootKey, origin: string, key: DataKey = root.firstDataKey) {
    this.#root = root;
    this.#origin = origin;
    this.#key = key;
  }

  /**
   * Opens the next event. One that is refused changes nothing: the same place may be opened again.
   * @throws NotSealedHere
   */
  open({ sequence, etype, ts: at, sealed }: ReturnedEvent): OpenedEvent {
    const key = etype === ETYPES.KeyRotated ? this.#root.firstDataKey : this.#key;
    let text: string;
    try {
      text = open(key, { origin: this.#origin, sequence, etype, at }, sealed);
    } catch (error) {
      throw new NotSealedHere(error instanceof Error ? error.message : String(error), { cause: error });
    }
    const event = eventOf(text);
    if (event === undefined || !isEventType(event.type) || ETYPES[event.type] !== etype)
      throw new NotSealedHere(`event ${sequence} is sealed, and no event of this catalogue`);
    if (event.type === 'KeyRotated') this.#learn(event, sequence);
    return { ...event, sequence };
  }

  #learn({ data }: TravellingEvent, sequence: number): void {
    const { keyEpoch, keyId, wrappedKey } = data;
    // Of two of one epoch the first is the one, as the outbox has it: what lies between them is sealed with it already.
    if (typeof keyEpoch === 'number' && this.#epochs.has(keyEpoch)) return;
    const isWhole = typeof keyEpoch === 'number' && typeof keyId === 'string' && typeof wrappedKey === 'string';
    const key = isWhole ? this.#root.unwrap(wrappedKey, { origin: this.#origin, keyEpoch, keyId }) : undefined;
    if (key === undefined)
      throw new NotSealedHere(`the key of event ${sequence} does not open with root key ${this.#root.id}`);
    this.#key = key;
    this.#epochs.add(Number(keyEpoch));
  }
}
