import type { z } from 'zod';
import type { Line } from './lines.js';

/** A line that could not be imported. */
export interface BadLine {
  readonly file: string;
  readonly line: number;
  readonly reason: string;
}

/** The result of an import for one file, in lines. */
export interface FileReport {
  readonly file: string;
  /** Set if the file does not exist. */
  readonly missing?: true;
  /** Lines that are not blank. */
  read: number;
  /** Recorded by this import. */
  added: number;
  /** Already in the log, with the same content. */
  present: number;
  /** Could not be imported. */
  bad: number;
  /** Not imported because they describe the exported installation. */
  setAside: number;
}

/** Receives the progress of an import, line by line in the order of the file. */
export interface ImportListener {
  /** Called after each line, with the bytes read and the total bytes. */
  readonly onProgress: (done: number, total: number) => void;
  /** Called for a line that could not be imported. Throwing ends the import. */
  readonly onBadLine: (bad: BadLine) => void;
}

/** The content of a line cannot be imported; the message states the reason. */
export class LineError extends Error {
  override readonly name = 'LineError';
}

/** The fields of a value that are wrong, and why. @param root the name for the value itself */
export function reasonOf({ issues }: z.ZodError, root: string): string {
  return issues.map(({ path, message }) => `${path.join('.') || root}: ${message}`).join('; ');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Parses a line of JSON. @throws LineError */
export function parseLine({ content }: Line): unknown {
  if (content === undefined) throw new LineError('the line is longer than 4 MiB');
  let text: string;
  try {
    text = utf8.decode(content);
  } catch {
    throw new LineError('the line is not UTF-8');
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new LineError(`the line is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
