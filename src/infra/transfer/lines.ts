import { createReadStream } from 'node:fs';

/** The longest line, in bytes: sufficient for the largest event and its member names. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** Bytes that some editors put before the first line of UTF-8 text. */
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const BLANKS: ReadonlySet<number> = new Set(Buffer.from(' \t\r'));

/** One line of a file. */
export interface Line {
  /** The number of the line, from 1. */
  readonly number: number;
  /** The bytes of the line; `undefined` if it is longer than allowed. */
  readonly content: Buffer | undefined;
  /** The number of bytes in `content`. */
  readonly bytes: number;
  /** The number of bytes of the file up to the end of the line. */
  readonly end: number;
}

/** Reads the lines of a file that are not blank, streaming: memory holds one line and one block of the file. */
export async function* readLines(path: string): AsyncIterable<Line> {
  let number = 0;
  let end = 0;
  let parts: Buffer[] = [];
  let length = 0;
  const take = (): Line | undefined => {
    number += 1;
    let content = length > MAX_LINE_BYTES ? undefined : Buffer.concat(parts);
    parts = [];
    length = 0;
    if (number === 1 && content?.subarray(0, 3).equals(BYTE_ORDER_MARK)) content = content.subarray(3);
    if (content?.every((byte) => BLANKS.has(byte))) return undefined;
    return { number, content, bytes: content?.length ?? 0, end };
  };
  const keep = (part: Buffer): void => {
    length += part.length;
    if (length <= MAX_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let stop = chunk.indexOf(10); stop >= 0; stop = chunk.indexOf(10, start)) {
      keep(chunk.subarray(start, stop));
      end += stop + 1 - start;
      start = stop + 1;
      const line = take();
      if (line !== undefined) yield line;
    }
    keep(chunk.subarray(start));
    end += chunk.length - start;
  }
  if (length > 0) {
    const line = take();
    if (line !== undefined) yield line;
  }
}
