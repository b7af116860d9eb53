import { equalBytes } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Row } from '../../sqlite/connection.js';
import { encodeEntry, leafHash } from '../protocol/entry.js';
import { etype as etypeField, eventTime } from '../protocol/event.js';
import type { StoredEvent } from '../protocol/events-answer.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { Blobs } from './blobs.js';
import { diskFull } from './host-file.js';
import type { MendedEvent, StoredRow, WholeEvent } from './replica-store.js';

/** Type and time that an answer carries for an event of which nothing is known. */
export const UNDESCRIBED = { etype: 10, ts: 0 } as const;

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

  isFile({ sealed }: Pick<WholeEvent, 'sealed'>): boolean {
    return sealed.byteLength > this.#chunkThreshold;
  }

  /** Writes those that are files; they are on the disk when this resolves. @throws RefusalError FULL */
  async put(events: readonly WholeEvent[]): Promise<void> {
    try {
      await this.#blobs.put(events.filter((event) => this.isFile(event)));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') throw diskFull();
      throw error;
    }
  }

  /** The event of a row; without its content when that, or what is known of it, is not what its leaf says. */
  async read(row: EventRow): Promise<StoredEvent> {
    const { sequence, etype, ts, leaf } = row;
    const own = leafOfRow(row);
    const content = own !== undefined && equalBytes(own, leaf) ? await this.#contentOf(row) : undefined;
    if (content !== undefined) return { sequence, etype, ts, sealed: content };
    return { sequence, ...described(etype, ts), sealed: null };
  }

  /** The event of a row of which all but the leaf agrees, with the leaf that follows. */
  async readUnleafed(row: EventRow): Promise<MendedEvent | undefined> {
    const { sequence, etype, ts, eid } = row;
    const leaf = leafOfRow(row);
    const sealed = leaf && (await this.#contentOf(row));
    return sealed && { sequence, etype, ts, eid, leaf, sealed };
  }

  /** The content that a row's address is of; undefined when it is gone, damaged or cannot be read. */
  async #contentOf({ eid, sealed, bytes }: EventRow): Promise<Uint8Array | undefined> {
    const content = sealed ?? (await this.#blobs.get(eid).catch(notReadable));
    return content?.byteLength === bytes && equalBytes(addressOf(content), eid) ? content : undefined;
  }
}

/** A file that a disk does not give back is as good as gone; one that cannot be opened just now is not. */
function notReadable(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE')) throw error;
  return undefined;
}

/** The leaf that follows from what a row says; undefined when that is nothing an event could have. */
function leafOfRow({ etype, ts, eid }: StoredRow): Uint8Array | undefined {
  try {
    return leafHash(encodeEntry({ etype, ts, eid }));
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** Type and time of an event that is damaged: what an answer may carry, whatever is stored. */
function described(etype: number, ts: number): { readonly etype: number; readonly ts: number } {
  try {
    return { etype: etypeField(etype, 'etype'), ts: eventTime(ts, 'ts') };
  } catch (error) {
    if (error instanceof ProtocolError) return UNDESCRIBED;
    throw error;
  }
}
