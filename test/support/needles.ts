import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Content to search files for, in every form that it may have there. */
export interface Needle {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A text: unchanged, as UTF-16, and in hexadecimal and base64; a UUID also as its 16 bytes. */
export function textNeedle(text: string): Needle {
  const bytes = Buffer.from(text);
  const forms = [bytes, Buffer.from(text, 'utf16le'), ...written(bytes)];
  if (UUID.test(text)) {
    const digits = text.replaceAll('-', '');
    forms.push(Buffer.from(digits), Buffer.from(digits, 'hex'));
  }
  return { name: text, forms };
}

/** Bytes: unchanged, and in hexadecimal and base64. */
export function bytesNeedle(name: string, bytes: Uint8Array): Needle {
  return { name, forms: [Buffer.from(bytes), ...written(Buffer.from(bytes))] };
}

/** The names of the needles that are found. */
export function foundIn(hay: Uint8Array, needles: readonly Needle[]): string[] {
  const bytes = Buffer.from(hay.buffer, hay.byteOffset, hay.byteLength);
  return needles.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name);
}

/** How often a folder is searched at most while its files are created and removed. */
const MAX_LOOKS = 20;

/** The needles found in the files of a folder and its subfolders, contents and names; and the files. */
export async function foundBelow(folder: string, needles: readonly Needle[]) {
  for (let look = 1; ; look += 1) {
    try {
      return await lookBelow(folder, needles);
    } catch (error) {
      // A file that is written atomically has another name at first: the search begins again.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || look === MAX_LOOKS) throw error;
    }
  }
}

async function lookBelow(folder: string, needles: readonly Needle[]) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const found: { file: string; needle: string }[] = [];
  for (const file of files) {
    const name = file.slice(folder.length + 1);
    const hay = Buffer.concat([Buffer.from(`${name}\n`), await readFile(file)]);
    for (const needle of foundIn(hay, needles)) found.push({ file: name, needle });
  }
  return { found, files: files.map((file) => file.slice(folder.length + 1)) };
}

/** Hexadecimal, and base64 at any offset in a longer text: without the digits that depend on neighbouring bytes. */
function written(bytes: Buffer): Buffer[] {
  const hex = bytes.toString('hex');
  const base64 = ['base64', 'base64url'] as const;
  const inner = base64.flatMap((encoding) =>
    [0, 1, 2].map((offset) => {
      const digits = Buffer.concat([Buffer.alloc(offset), bytes])
        .toString(encoding)
        .replaceAll('=', '');
      const whole = Math.floor(((offset + bytes.length) * 8) / 6);
      return digits.slice(Math.ceil((offset * 8) / 6), whole);
    }),
  );
  return [hex, hex.toUpperCase(), ...inner].map((text) => Buffer.from(text));
}
