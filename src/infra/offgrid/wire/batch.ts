import type { KeyObject } from 'node:crypto';
import { decode, encode } from '@ipld/dag-cbor';
import { z } from 'zod';
import { addressOf } from '../../crypto/envelope.js';
import { signBytes, verifyBytes } from '../../crypto/signing.js';
import { encodeMap } from './cbor.js';
import { MAX_EPOCH, type Destination } from './claim.js';

/** The most events of a batch. */
export const MAX_BATCH_EVENTS = 500;
/** The most bytes of envelopes in a batch, unless a single event has more. */
export const MAX_BATCH_BYTES = 1024 * 1024;
/** The largest body a host takes, in bytes. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** The largest envelope: an event of 1 MiB, its names and its padding. */
export const MAX_SEALED_BYTES = 1024 * 1024 + 4 * 1024;

const TAG = 'batch/v1';

/** A sealed event on its way. */
export interface SealedEvent {
  readonly etype: number;
  /** The event's own time, in milliseconds since 1970. */
  readonly ts: number;
  readonly sealed: Uint8Array;
}

/** A sealed event with its number, and its address. */
export interface AddressedEvent extends SealedEvent {
  readonly sequence: number;
  /** SHA-256 of the envelope. */
  readonly eid: Uint8Array;
}

/** Events that follow one another, signed by their origin. */
export interface Batch {
  /** The writer's epoch. */
  readonly epoch: number;
  /** The sequence of the first. */
  readonly from: number;
  readonly events: readonly SealedEvent[];
  readonly signature: string;
}

const sequence = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const batchSchema = z.strictObject({
  epoch: z.number().int().min(1).max(MAX_EPOCH),
  from: sequence,
  events: z
    .array(
      z.strictObject({
        etype: z.number().int().min(0).max(65_535),
        ts: z.number().int().min(-8.64e15).max(8.64e15),
        sealed: z.instanceof(Uint8Array).refine(({ byteLength }) => byteLength > 0 && byteLength <= MAX_SEALED_BYTES),
      }),
    )
    .min(1)
    .max(MAX_BATCH_EVENTS),
  signature: z.string().max(128),
});

/** The body of a batch for one host. The signature is over the addresses, which stand for the envelopes. */
export function encodeBatch(
  key: KeyObject,
  destination: Destination,
  epoch: number,
  events: readonly AddressedEvent[],
): Uint8Array {
  const from = events[0]?.sequence ?? 0;
  const { envelopes, addresses } = encodedOf(events);
  const signature = signBytes(key, signedBytes(destination, epoch, from, addresses));
  return encodeMap({ epoch, from, signature }, { events: envelopes });
}

/** A batch that came in, with its addresses computed; undefined when it is not one. */
export function decodeBatch(body: Uint8Array): (Omit<Batch, 'events'> & { events: AddressedEvent[] }) | undefined {
  let decoded: unknown;
  try {
    decoded = decode(body);
  } catch {
    return undefined;
  }
  const parsed = batchSchema.safeParse(decoded);
  if (!parsed.success) return undefined;
  const { events, ...rest } = parsed.data;
  const addressed = events.map((event, i) => ({ ...event, sequence: rest.from + i, eid: addressOf(event.sealed) }));
  return { ...rest, events: addressed };
}

export function isBatchSigned(
  batch: Omit<Batch, 'events'> & { readonly events: readonly AddressedEvent[] },
  destination: Destination,
  key: KeyObject,
): boolean {
  const { epoch, from, events, signature } = batch;
  return verifyBytes(key, signedBytes(destination, epoch, from, addressesOf(events)), signature);
}

/** What is signed of a batch. */
function signedBytes({ origin, host }: Destination, epoch: number, from: number, addresses: Uint8Array): Uint8Array {
  return encodeMap({ tag: TAG, origin, host, epoch, from }, { events: addresses });
}

function addressesOf(events: readonly AddressedEvent[]): Uint8Array {
  return encode(events.map(({ etype, ts, eid }) => [etype, ts, eid]));
}

/** Events encoded, as they are sent and as they are signed. */
interface Encoded {
  readonly envelopes: Uint8Array;
  readonly addresses: Uint8Array;
}

/** What was encoded for one host is the same for the next. */
const encoded = new WeakMap<readonly AddressedEvent[], Encoded>();

function encodedOf(events: readonly AddressedEvent[]): Encoded {
  let known = encoded.get(events);
  if (known === undefined) {
    const envelopes = encode(events.map(({ etype, ts, sealed }) => ({ etype, ts, sealed })));
    known = { envelopes, addresses: addressesOf(events) };
    encoded.set(events, known);
  }
  return known;
}
