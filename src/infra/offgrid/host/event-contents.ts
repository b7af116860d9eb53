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

/** The type and time in an answer for an event whose stored type or time is missing or invalid. */
export const UNDESCRIBED = { etype: 10, ts: 0 } as const;

/** A row of `events` or of a table like it. */
export interface EventRow extends StoredRow, Row {
  readonly bytes: number;
  /** Null when the content is a file. */
  readonly sealed: Uint8Array | null;
  /** 1 when the event is known to be damaged. */
  readonly damaged: number;
}

/** The contents of events: in their rows, or as files if they are above a threshold. */
export class EventContents {
  readonly #blobs: Blobs;
  readonly #chunkThreshold: number;

  /** @param chunkThreshold contents above this size are files, in bytes */
  constructor(blobs: Blobs, chunkThreshold: number) {
    this.#blobs = blobs;
    this.#chunkThreshold = chunkThreshold;
  }

  /** Whether the content of an event is stored as a file. */
  isFile({ sealed }: Pick<WholeEvent, 'sealed'>): boolean {
    return sealed.byteLength > this.#chunkThreshold;
  }

  /** Writes the contents that are files; they are on the disk when this resolves. @throws RefusalError FULL */
  async put(events: readonly WholeEvent[]): Promise<void> {
    try {
      await this.#blobs.put(events.filter((event) => this.isFile(event)));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') throw diskFull();
      throw error;
    }
  }

  /** The event of a row; without its content when the content, type, time or address does not match its leaf. */
  async read(row: EventRow): Promise<StoredEvent> {
    const { sequence, etype, ts, leaf } = row;
    const own = leafOfRow(row);
    const content = own !== undefined && equalBytes(own, leaf) ? await this.#contentOf(row) : undefined;
    if (content !== undefined) return { sequence, etype, ts, sealed: content };
    return { sequence, ...described(etype, ts), sealed: null };
  }

  /** The event of a row with the leaf computed from the row; undefined when more than the stored leaf is damaged. */
  async readUnleafed(row: EventRow): Promise<MendedEvent | undefined> {
    const { sequence, etype, ts, eid } = row;
    const leaf = leafOfRow(row);
    const sealed = leaf && (await this.#contentOf(row));
    return sealed && { sequence, etype, ts, eid, leaf, sealed };
  }

  /** The content that a row's address names; undefined when it is missing, damaged or unreadable. */
  async #contentOf({ eid, sealed, bytes }: EventRow): Promise<Uint8Array | undefined> {
    const content = sealed ?? (await this.#blobs.get(eid).catch(notReadable));
    return content?.byteLength === bytes && equalBytes(addressOf(content), eid) ? content : undefined;
  }
}

/** A file that the disk cannot read counts as missing; one that cannot be opened for lack of file descriptors does not. */
function notReadable(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE')) throw error;
  return undefined;
}

/** The leaf computed from a row's type, time and address; undefined when one of them is out of range. */
function leafOfRow({ etype, ts, eid }: StoredRow): Uint8Array | undefined {
  try {
    return leafHash(encodeEntry({ etype, ts, eid }));
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** The stored type and time of a damaged event, or UNDESCRIBED when an answer may not contain them. */
function described(etype: number, ts: number): { readonly etype: number; readonly ts: number } {
  try {
    return { etype: etypeField(etype, 'etype'), ts: eventTime(ts, 'ts') };
  } catch (error) {
    if (error instanceof ProtocolError) return UNDESCRIBED;
    throw error;
  }
}
