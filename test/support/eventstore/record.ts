import { bytes, entry, message, text, uint } from './wire.js';

/** An event that a client proposes to append. */
export interface Proposed {
  /** A UUID in lower case. */
  readonly id: string;
  readonly type: string;
  readonly isJson: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/** Bytes of a record in the log besides type, data and metadata; about as many as in the real log. */
const FRAMING_BYTES = 68;
/** The unit of `created`, which counts from the Unix epoch. */
const TICKS_PER_MS = 10_000n;

/** The revision of a `$streamDeleted` event, and of a soft-deleted stream's `$tb`. */
export const DELETED_REVISION = 2n ** 63n - 1n;

/** An event in the log; it never changes. Its position is that of its first byte; commit and prepare are the same. */
export class StoredRecord {
  readonly position: bigint;
  /** The number of the record among all ever written, from 1; a scavenge leaves gaps. */
  readonly ordinal: number;
  readonly stream: string;
  readonly revision: bigint;
  readonly id: string;
  readonly type: string;
  readonly isJson: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
  /** In milliseconds since the Unix epoch. */
  readonly createdMs: number;
  #frame: Buffer | undefined;

  constructor(at: { position: bigint; ordinal: number; stream: string; revision: bigint }, proposed: Proposed) {
    this.position = at.position;
    this.ordinal = at.ordinal;
    this.stream = at.stream;
    this.revision = at.revision;
    this.id = proposed.id;
    this.type = proposed.type;
    this.isJson = proposed.isJson;
    this.data = proposed.data;
    this.metadata = proposed.metadata;
    this.createdMs = Date.now();
  }

  /** The position at which the next record may begin. */
  get end(): bigint {
    return this.position + BigInt(FRAMING_BYTES + this.type.length * 2 + this.data.length + this.metadata.length);
  }

  /** The record as an encoded `ReadResp`, which is made when it is first sent. */
  get frame(): Buffer {
    return (this.#frame ??= this.#encode());
  }

  #encode(): Buffer {
    const recorded = [
      message(1, text(2, this.id)),
      message(2, text(3, this.stream)),
      uint(3, this.revision),
      uint(4, this.position),
      uint(5, this.position),
      entry(6, 'type', this.type),
      entry(6, 'created', String(BigInt(this.createdMs) * TICKS_PER_MS)),
      entry(6, 'content-type', this.isJson ? 'application/json' : 'application/octet-stream'),
      bytes(7, this.metadata),
      bytes(8, this.data),
    ];
    return message(1, message(1, ...recorded), uint(3, this.position));
  }
}
