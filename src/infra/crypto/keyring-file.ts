import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { parseJson } from '../../domain/json.js';
import { readIfThere, writeDurably } from '../platform/files.js';
import { fromBase64, toBase64 } from './bytes.js';
import { RootKey } from './root-key.js';

/** The cost of guessing a passphrase: about 0.1 s and 64 MiB per guess (scrypt, RFC 7914). */
const SCRYPT = { N: 65_536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 } as const;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** The mode of the file: only its owner may read it. */
const MODE = 0o600;

const base64 = z.string().regex(/^[A-Za-z0-9+/]+=*$/);
const keyringSchema = z.union([
  z.strictObject({ version: z.literal(1), root: base64 }),
  z.strictObject({
    version: z.literal(1),
    scrypt: z.strictObject({ N: z.literal(SCRYPT.N), r: z.literal(SCRYPT.r), p: z.literal(SCRYPT.p), salt: base64 }),
    /** Nonce, ciphertext and tag (AES-256-GCM). */
    wrapped: base64,
  }),
]);

/** The keyring cannot be used; the message states what to do. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError';
  readonly code: 'KEYRING_MISSING' | 'KEYRING_DAMAGED' | 'PASSPHRASE_NEEDED' | 'PASSPHRASE_WRONG' | 'KEYRING_EXISTS';

  constructor(code: KeyringError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Reads the root key of a core from its file. If the file does not exist, generates a root key and writes it; the file is
 * durable when this resolves.
 * @throws KeyringError
 */
export async function openKeyring(path: string, passphrase: string | undefined): Promise<RootKey> {
  const known = await readKeyring(path, passphrase);
  if (known !== undefined) return known;
  const root = RootKey.generate();
  await writeKeyring(path, root, passphrase);
  return root;
}

/** Reads the root key from a file; undefined when the file does not exist. @throws KeyringError */
export async function readKeyring(path: string, passphrase: string | undefined): Promise<RootKey | undefined> {
  const content = await contentOf(path);
  if (content === undefined) return undefined;
  if ('root' in content) return rootOf(fromBase64(content.root), path);
  const { scrypt: params } = content;
  const wrapped = fromBase64(content.wrapped);
  if (wrapped.byteLength !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) throw damaged(path);
  if (passphrase === undefined)
    throw new KeyringError(
      'PASSPHRASE_NEEDED',
      `${path} is wrapped with a passphrase: set SHERATAN_KEY_PASSPHRASE to it.`,
    );
  const key = await stretch(passphrase, fromBase64(params.salt));
  return rootOf(unwrap(key, wrapped, path), path);
}

/** Writes a keyring atomically. @throws KeyringError KEYRING_EXISTS when the file exists already */
export async function writeKeyring(path: string, root: RootKey, passphrase: string | undefined): Promise<void> {
  const text = passphrase === undefined ? plainText(root) : await wrappedText(root, passphrase);
  await writeDurably(path, text, { mode: MODE, exclusive: true }).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST')
      throw new KeyringError(
        'KEYRING_EXISTS',
        `${path} exists already and is not replaced. To use another key, move it away first.`,
      );
    throw error;
  });
}

/**
 * Wraps a keyring that was written without a passphrase.
 * @returns false when it is wrapped already or does not exist
 * @throws KeyringError; the system's error when it cannot be written, in which case it is unchanged
 */
export async function wrapKeyring(path: string, passphrase: string): Promise<boolean> {
  const content = await contentOf(path);
  if (content === undefined || !('root' in content)) return false;
  const root = rootOf(fromBase64(content.root), path);
  // If the path is a symbolic link, its target is replaced, not the link.
  await writeDurably(await realpath(path), await wrappedText(root, passphrase), { mode: MODE });
  return true;
}

async function contentOf(path: string): Promise<z.infer<typeof keyringSchema> | undefined> {
  const text = (await readIfThere(path))?.toString();
  if (text === undefined) return undefined;
  const parsed = keyringSchema.safeParse(parseJson(text));
  if (!parsed.success) throw damaged(path);
  return parsed.data;
}

function plainText(root: RootKey): string {
  return `${JSON.stringify({ version: 1, root: toBase64(root.bytes) }, null, 2)}\n`;
}

async function wrappedText(root: RootKey, passphrase: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const params = { N: SCRYPT.N, r: SCRYPT.r, p: SCRYPT.p, salt: toBase64(salt) };
  const wrapped = toBase64(wrap(await stretch(passphrase, salt), root.bytes));
  return `${JSON.stringify({ version: 1, scrypt: params, wrapped }, null, 2)}\n`;
}

function stretch(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return promisify<string, Uint8Array, number, typeof SCRYPT, Buffer>(scrypt)(
    passphrase.normalize('NFKC'),
    salt,
    KEY_BYTES,
    SCRYPT,
  );
}

function wrap(key: Uint8Array, bytes: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

function unwrap(key: Uint8Array, wrapped: Uint8Array, path: string): Buffer {
  const nonce = wrapped.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  try {
    decipher.setAuthTag(wrapped.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw new KeyringError(
      'PASSPHRASE_WRONG',
      `SHERATAN_KEY_PASSPHRASE does not open ${path}. Set the passphrase that it was wrapped with.`,
    );
  }
}

function rootOf(bytes: Uint8Array, path: string): RootKey {
  if (bytes.byteLength !== KEY_BYTES) throw damaged(path);
  return new RootKey(bytes);
}

function damaged(path: string): KeyringError {
  return new KeyringError(
    'KEYRING_DAMAGED',
    `${path} is not a valid keyring. Move it away, then import the recovery key: sheratan keys import.`,
  );
}
