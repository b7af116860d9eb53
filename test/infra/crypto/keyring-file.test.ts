import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toBase64, toHex } from '../../../src/infra/crypto/bytes.js';
import {
  KeyringError,
  openKeyring,
  readKeyring,
  wrapKeyring,
  writeKeyring,
} from '../../../src/infra/crypto/keyring-file.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { flipped, spellings, errorText } from './support.js';

const ROOT = new RootKey(Uint8Array.from({ length: 32 }, (_, i) => (29 * i + 3) % 256));
const PASSPHRASE = 'né sur la crête';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheratan-keyring-'));
  path = join(folder, 'keyring.json');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function refusal(act: Promise<unknown>): Promise<KeyringError> {
  const error: unknown = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KeyringError);
  return error as KeyringError;
}

const idOf = async (root: Promise<RootKey | undefined>) => toHex((await root)?.bytes ?? new Uint8Array());
const ID = toHex(ROOT.bytes);

describe('a keyring without a passphrase', () => {
  it('is made at the first start, and read at the next', async () => {
    const made = await openKeyring(path, undefined);
    expect(await idOf(openKeyring(path, undefined))).toBe(toHex(made.bytes));
    expect(await readdir(folder)).toEqual(['keyring.json']);
  });

  it('is different in each folder', async () => {
    const one = await openKeyring(path, undefined);
    const other = await openKeyring(join(folder, 'other.json'), undefined);
    expect(one.id).not.toBe(other.id);
  });

  it('is not made by reading', async () => {
    expect(await readKeyring(path, undefined)).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
  });

  it('can be wrapped with one later, once, and has the same key', async () => {
    expect(await wrapKeyring(path, PASSPHRASE)).toBe(false);
    await writeKeyring(path, ROOT, undefined);
    expect(await wrapKeyring(path, PASSPHRASE)).toBe(true);
    const text = await readFile(path, 'utf8');
    expect(text).not.toContain(toBase64(ROOT.bytes));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['keyring.json']);
    expect(await idOf(readKeyring(path, PASSPHRASE))).toBe(ID);
    expect((await refusal(readKeyring(path, undefined))).code).toBe('PASSPHRASE_NEEDED');
    expect(await wrapKeyring(path, 'another')).toBe(false);
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  it('behind a symbolic link is wrapped in place', async () => {
    const real = join(folder, 'elsewhere.json');
    await writeKeyring(real, ROOT, undefined);
    await symlink(real, path);
    expect(await wrapKeyring(path, PASSPHRASE)).toBe(true);
    expect(await readFile(real, 'utf8')).not.toContain(toBase64(ROOT.bytes));
    expect(await idOf(readKeyring(path, PASSPHRASE))).toBe(ID);
  });

  it('returns the key that was written', async () => {
    await writeKeyring(path, ROOT, undefined);
    expect(await idOf(readKeyring(path, undefined))).toBe(ID);
    expect(await idOf(readKeyring(path, 'a passphrase that it does not need'))).toBe(ID);
  });

  it('can be read only by its owner, regardless of the umask', async () => {
    const umask = process.umask(0);
    try {
      await writeKeyring(path, ROOT, undefined);
    } finally {
      process.umask(umask);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is not overwritten', async () => {
    await writeKeyring(path, ROOT, undefined);
    const before = await readFile(path);
    const error = await refusal(writeKeyring(path, RootKey.generate(), undefined));
    expect(error.code).toBe('KEYRING_EXISTS');
    expect(error.message).toContain(path);
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(folder)).toEqual(['keyring.json']);
  });

  it('is created once by simultaneous starts: the others are refused, and keep no key of their own', async () => {
    const starts = await Promise.allSettled(Array.from({ length: 8 }, () => openKeyring(path, undefined)));
    const kept = await idOf(readKeyring(path, undefined));
    const made = starts.filter((start) => start.status === 'fulfilled').map(({ value }) => toHex(value.bytes));
    const refused = starts.filter((start) => start.status === 'rejected').map(({ reason }) => reason.code);
    expect(new Set(made)).toEqual(new Set([kept]));
    expect(refused.filter((code) => code !== 'KEYRING_EXISTS')).toEqual([]);
    expect(await readdir(folder)).toEqual(['keyring.json']);
  });

  it('is not created when the folder is missing', async () => {
    await expect(openKeyring(join(folder, 'missing', 'keyring.json'), undefined)).rejects.toThrow('ENOENT');
  });
});

describe('a keyring with a passphrase', () => {
  let written: string;

  // Each use of a passphrase takes a tenth of a second, so the file is written once.
  beforeAll(async () => {
    const first = await mkdtemp(join(tmpdir(), 'sheratan-keyring-'));
    await writeKeyring(join(first, 'keyring.json'), ROOT, PASSPHRASE.normalize('NFC'));
    written = await readFile(join(first, 'keyring.json'), 'utf8');
    expect((await stat(join(first, 'keyring.json'))).mode & 0o777).toBe(0o600);
    await rm(first, { recursive: true });
  });

  beforeEach(() => writeFile(path, written));

  it('opens with the passphrase in any Unicode composition', async () => {
    expect(await idOf(openKeyring(path, PASSPHRASE.normalize('NFD')))).toBe(ID);
  });

  it('contains neither the key nor the passphrase', () => {
    for (const secret of [PASSPHRASE, ...spellings(ROOT.bytes)]) expect(written).not.toContain(secret);
  });

  it('does not open without the passphrase, and the error names the setting', async () => {
    const { code, message } = await refusal(openKeyring(path, undefined));
    expect(code).toBe('PASSPHRASE_NEEDED');
    expect(message).toMatch('set SHERATAN_KEY_PASSPHRASE');
  });

  it('does not open with a wrong one, and the error contains neither it nor the key', async () => {
    const wrong = await refusal(openKeyring(path, `${PASSPHRASE}!`));
    expect(wrong.code).toBe('PASSPHRASE_WRONG');
    for (const secret of [PASSPHRASE, ...spellings(ROOT.bytes)]) expect(errorText(wrong)).not.toContain(secret);
    expect(await readFile(path, 'utf8')).toBe(written);
  });

  it('does not open when its content was changed', async () => {
    const content = JSON.parse(written);
    const changed = flipped(Buffer.from(content.wrapped, 'base64'), 8 * 20);
    await writeFile(path, JSON.stringify({ ...content, wrapped: toBase64(changed) }));
    expect((await refusal(openKeyring(path, PASSPHRASE))).code).toBe('PASSPHRASE_WRONG');
  });

  it.each([1, 2, 16, 59, 61])(
    'is damaged when its wrapped key has %d bytes, with or without a passphrase',
    async (length) => {
      const wrapped = toBase64(Buffer.alloc(length, 7));
      await writeFile(path, JSON.stringify({ ...JSON.parse(written), wrapped }));
      expect((await refusal(openKeyring(path, PASSPHRASE))).code).toBe('KEYRING_DAMAGED');
      expect((await refusal(openKeyring(path, undefined))).code).toBe('KEYRING_DAMAGED');
    },
  );

  it('is damaged when its wrapped key has less than one byte', async () => {
    await writeFile(path, JSON.stringify({ ...JSON.parse(written), wrapped: 'A' }));
    expect((await refusal(openKeyring(path, PASSPHRASE))).code).toBe('KEYRING_DAMAGED');
  });
});

describe('a file that is not a keyring', () => {
  const root = Buffer.from(ROOT.bytes).toString('base64');
  const scrypt = { N: 65_536, r: 8, p: 1, salt: 'AAAAAAAAAAAAAAAAAAAAAA==' };
  it.each([
    ['empty', ''],
    ['cut', `{ "version": 1, "root": "${root}`],
    ['no object', `"${root}"`],
    ['of another version', JSON.stringify({ version: 2, root })],
    ['one with more in it', JSON.stringify({ version: 1, root, note: 'kept' })],
    ['of too short a key', JSON.stringify({ version: 1, root: root.slice(0, -4) })],
    ['of too long a key', JSON.stringify({ version: 1, root: `AAAA${root}` })],
    ['of no base64', JSON.stringify({ version: 1, root: root.replace(/^./, '!') })],
    [
      'of another cost, which might be endless',
      JSON.stringify({ version: 1, scrypt: { ...scrypt, N: 2 ** 30 }, wrapped: root }),
    ],
  ])('is refused and not changed: %s', async (_, text) => {
    await writeFile(path, text);
    const error = await refusal(openKeyring(path, undefined));
    expect(error.code).toBe('KEYRING_DAMAGED');
    expect(error.message).toContain(path);
    for (const secret of [root, root.slice(0, -4), root.slice(1), ...spellings(ROOT.bytes)])
      expect(errorText(error)).not.toContain(secret);
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  it('is not replaced by a new key when it cannot be read', async () => {
    await expect(openKeyring(folder, undefined)).rejects.toThrow('EISDIR');
    if (process.getuid?.() === 0) return;
    await writeKeyring(path, ROOT, undefined);
    await chmod(path, 0);
    await expect(openKeyring(path, undefined)).rejects.toThrow('EACCES');
  });
});
