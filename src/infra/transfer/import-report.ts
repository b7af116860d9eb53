import type { z } from 'zod';
import type { Line } from './lines.js';

/** A line that could not be taken. */
export interface BadLine {
  readonly file: string;
  readonly line: number;
  readonly reason: string;
}

/** What an import did with one file. */
export interface FileReport {
  readonly file: string;
  /** Set when the file is not there. */
  readonly missing?: true;
  /** Lines that are not blank. */
  read: number;
  /** Recorded by this import. */
  added: number;
  /** Were there already, the same. */
  present: number;
  bad: number;
  /** Describe the installation that was exported, and so are not taken. */
  setAside: number;
}

/** Tells an import's caller how it gets on, line by line in the order of the file. */
export interface ImportListener {
  /** After each line: bytes read of all the bytes there are. */
  readonly onProgress: (done: number, total: number) => void;
  /** A line could not be taken. Throwing ends the import. */
  readonly onBadLine: (bad: BadLine) => void;
}

/** A line's content cannot be taken; the message says why. */
export class LineError extends Error {
  override readonly name = 'LineError';
}

/** What is wrong with which fields. @param root what the fields are of */
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
