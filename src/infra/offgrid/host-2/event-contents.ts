import { equalBytes } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Row } from '../../sqlite/connection.js';
import type { Blobs } from '../host/blobs.js';
import { encodeEntry, leafHash } from '../protocol/entry.js';
import { etype as etypeField, eventTime } from '../protocol/event.js';
import type { StoredEvent } from '../protocol/events-answer.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import { diskFull } from './host-file.js';
import type { LeafEvent, StoredRow } from './replica-store.js';

/** A row of `events` or of a table like it. */
export interface EventRow extends StoredRow, Row {
  readonly bytes: number;
  /** Null: it is a file. */
  readonly sealed: Uint8Array | null;
  /** 1: it is known to be damaged. */
  readonly damaged: number;
}

/** The contents of events: in their rows, or, over a threshold, as files. */
export class EventContents {
  readonly #blobs: Blobs;
  readonly #chunkThreshold: number;

  /** @param chunkThreshold contents of more bytes are files */
  constructor(blobs: Blobs, chunkThreshold: number) {
    this.#blobs = blobs;
    this.#chunkThreshold = chunkThreshold;
  }

  isFile({ sealed }: Pick<LeafEvent, 'sealed'>): boolean {
    return sealed.byteLength > this.#chunkThreshold;
  }

  /** Writes those that are files; they are on the disk when this resolves. @throws RefusalError FULL */
  async put(events: readonly LeafEvent[]): Promise<void> {
    try {
      await this.#blobs.put(events.filter((event) => this.isFile(event)));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') throw diskFull();
      throw error;
    }
  }

  /** The event of a row; without its content when that, or what is known of it, is not what its leaf says. */
  async read(row: EventRow): Promise<StoredEvent> {
    const { sequence, etype, ts, eid, sealed } = row;
    if (hasOwnLeaf(row)) {
      const content = sealed ?? (await this.#blobs.get(eid));
      if (content !== undefined && equalBytes(addressOf(content), eid)) return { sequence, etype, ts, sealed: content };
    }
    return { sequence, ...described(etype, ts), sealed: null };
  }
}

function hasOwnLeaf({ etype, ts, eid, leaf }: StoredRow): boolean {
  try {
    return equalBytes(leafHash(encodeEntry({ etype, ts, eid })), leaf);
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

/** Type and time of an event that is damaged: what an answer may carry, whatever is stored. */
function described(etype: number, ts: number): { readonly etype: number; readonly ts: number } {
  try {
    return { etype: etypeField(etype, 'etype'), ts: eventTime(ts, 'ts') };
  } catch (error) {
    if (error instanceof ProtocolError) return { etype: 10, ts: 0 };
    throw error;
  }
}
