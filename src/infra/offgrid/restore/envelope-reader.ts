import { ETYPES, isEventType } from '../../../domain/event.js';
import { beginsEpoch, isKeyRotated } from '../../../domain/keyring.js';
import type { DataKey } from '../../crypto/data-key.js';
import { open } from '../../crypto/envelope.js';
import type { RootKey } from '../../crypto/root-key.js';
import { eventOf, type EventContent } from '../protocol/event-text.js';
import type { NumberedEvent } from '../protocol/event.js';

/** An event that was opened, with its number. */
export interface OpenedEvent extends EventContent {
  readonly sequence: number;
  readonly etype: number;
}

/** An envelope is not what the origin sealed at this place. */
export class NotSealedHere extends Error {
  override readonly name = 'NotSealedHere';
}

/**
 * What the origin sealed at a place is not an event. Every host gives the same bytes: asking another one is useless.
 */
export class NotAnEvent extends Error {
  override readonly name = 'NotAnEvent';
}

const NAMES = new Map<number, string>(Object.entries(ETYPES).map(([type, etype]) => [etype, type]));

/** Opens the events of an origin in order, learning its keys on the way. */
export class EnvelopeReader {
  readonly #root: RootKey;
  readonly #origin: string;
  readonly #epochs = new Set<number>();
  #key: DataKey;

  /** @param key of the epoch to begin in; by default the key of the first epoch */
  constructor(root: RootKey, origin: string, key: DataKey = root.firstDataKey) {
    this.#root = root;
    this.#origin = origin;
    this.#key = key;
  }

  /** The key that opens the next event, unless that is a KeyRotated. */
  get key(): DataKey {
    return this.#key;
  }

  /** Another reader that has learnt the same keys. */
  copy(): EnvelopeReader {
    const copy = new EnvelopeReader(this.#root, this.#origin, this.#key);
    for (const epoch of this.#epochs) copy.#epochs.add(epoch);
    return copy;
  }

  /**
   * Opens the next event, whose type may be unknown to this build. A refused event changes nothing: the same place may
   * be opened again.
   * @throws NotSealedHere, NotAnEvent
   */
  open({ sequence, etype, ts: at, sealed }: NumberedEvent): OpenedEvent {
    const key = etype === ETYPES.KeyRotated ? this.#root.firstDataKey : this.#key;
    let text: string;
    try {
      text = open(key, { origin: this.#origin, sequence, etype, at }, sealed);
    } catch (error) {
      throw new NotSealedHere(error instanceof Error ? error.message : String(error), { cause: error });
    }
    const event = eventOf(text);
    if (event === undefined)
      throw new NotAnEvent(`Event ${sequence} of '${this.#origin}' opens, but what was sealed there is not an event.`);
    const expected = isEventType(event.type) ? ETYPES[event.type] : undefined;
    if (expected === undefined ? NAMES.has(etype) : expected !== etype)
      throw new NotAnEvent(
        `Event ${sequence} of '${this.#origin}' opens, but was sealed as number ${etype} (${NAMES.get(etype) ?? 'unknown'}) and states the type ${event.type}.`,
      );
    this.learn(event);
    return { ...event, etype, sequence };
  }

  /**
   * Takes the key of an event that was opened. A KeyRotated that begins no epoch of this log, or holds no key of its
   * root key, has no effect, here and in the outbox.
   */
  learn({ type, data }: Pick<EventContent, 'type' | 'data'>): void {
    if (type !== 'KeyRotated' || !isKeyRotated(data)) return;
    const { keyEpoch, keyId, wrappedKey } = data;
    const first = { origin: this.#origin, rootKeyId: this.#root.id };
    if (!beginsEpoch(data, first, (epoch) => this.#epochs.has(epoch))) return;
    this.#epochs.add(keyEpoch);
    this.#key = this.#root.unwrap(wrappedKey, { origin: this.#origin, keyEpoch, keyId }) ?? this.#key;
  }
}
