import { createReadStream } from 'node:fs';

/** The longest line, in bytes: an event of the largest size, with room for its names. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** One line of a file. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Its text; `undefined` when it is longer than a line may be. */
  readonly text: string | undefined;
  /** Bytes of the file read up to here. */
  readonly bytes: number;
}

/** The lines of a file that are not blank, streaming: memory holds one line and one block. */
export async function* readLines(path: string): AsyncIterable<Line> {
  let number = 0;
  let bytes = 0;
  let parts: Buffer[] = [];
  let length = 0;
  const take = (): Line | undefined => {
    number += 1;
    const text = length > MAX_LINE_BYTES ? undefined : Buffer.concat(parts).toString('utf8');
    parts = [];
    length = 0;
    return text?.trim() === '' ? undefined : { number, text, bytes };
  };
  const keep = (part: Buffer): void => {
    length += part.length;
    if (length <= MAX_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      keep(chunk.subarray(start, end));
      bytes += end + 1 - start;
      start = end + 1;
      const line = take();
      if (line !== undefined) yield line;
    }
    keep(chunk.subarray(start));
    bytes += chunk.length - start;
  }
  if (length > 0) {
    const line = take();
    if (line !== undefined) yield line;
  }
}
