import { HASH_BYTES } from '../../../domain/merkle.js';
import { addressOf } from '../../crypto/envelope.js';
import { sha256 } from '../../crypto/sha256.js';
import { etype, eventTime, type EventHole, type SealedEvent } from './event.js';
import { byteString } from './members.js';

const TIME_AT = 2;
const EID_AT = 10;
/** The size of an entry in bytes: etype 2, time 8, eid 32. */
export const ENTRY_BYTES = EID_AT + HASH_BYTES;
/** The prefix of a leaf when it is hashed (RFC 6962, section 2.1). */
const LEAF = Uint8Array.of(0);

const entryBytes = byteString(ENTRY_BYTES);
const eidBytes = byteString(HASH_BYTES);

/**
 * The part of an event that the root covers. Its 42 bytes are etype (2, big-endian), ts (8, big-endian, two's complement)
 * and eid. They are the leaf that MerkleFrontier.append takes, unhashed.
 */
export interface Entry {
  /** 10 to 65,535. */
  readonly etype: number;
  /** The event's own time in milliseconds since 1970, ± 8.64 · 10¹⁵. */
  readonly ts: number;
  /** SHA-256 of the envelope: 32 bytes. */
  readonly eid: Uint8Array;
}

/** The entry of an event. */
export function entryOf(event: SealedEvent | EventHole): Entry {
  const { etype, ts, sealed } = event;
  return { etype, ts, eid: sealed === null ? event.eid : addressOf(sealed) };
}

/** The 42 bytes of an entry. @throws ProtocolError MALFORMED when a member is out of range */
export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = Buffer.allocUnsafe(ENTRY_BYTES);
  bytes.writeUInt16BE(etype(entry.etype, 'entry.etype'));
  bytes.writeBigInt64BE(BigInt(eventTime(entry.ts, 'entry.ts')), TIME_AT);
  bytes.set(eidBytes(entry.eid, 'entry.eid'), EID_AT);
  return bytes;
}

/** An entry from its bytes. @throws ProtocolError MALFORMED unless there are 42 bytes and each member is in range */
export function decodeEntry(bytes: Uint8Array): Entry {
  const { buffer, byteOffset } = entryBytes(bytes, 'entry');
  const view = new DataView(buffer, byteOffset, ENTRY_BYTES);
  return {
    etype: etype(view.getUint16(0), 'entry.etype'),
    // A time that a number cannot represent exactly is out of range as well.
    ts: eventTime(Number(view.getBigInt64(TIME_AT)), 'entry.ts'),
    eid: new Uint8Array(bytes.subarray(EID_AT)),
  };
}

/** The leaf hash of an encoded entry: SHA-256(00 ‖ entry). @throws ProtocolError MALFORMED unless it has 42 bytes */
export function leafHash(entry: Uint8Array): Uint8Array {
  return sha256(LEAF, entryBytes(entry, 'entry'));
}
