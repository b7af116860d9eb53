import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { toBase64 } from '../../crypto/bytes.js';
import { fingerprintOf, publicKeyText } from '../../crypto/signing.js';
import { writeDurably } from '../../durable-file.js';

/** Only the owner may read it. */
const MODE = 0o600;
/** Bytes that precede the 32 of an X25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_HEAD_BYTES = 12;

/** Who a host is: made at its first start, and the same for ever. */
export interface Identity {
  /** The fingerprint of its verify key. */
  readonly id: string;
  readonly signingKey: KeyObject;
  /** Ed25519, base64. */
  readonly verifyKey: string;
  /** X25519, base64: for those who would send it secrets, as the prototype's hosts offered. */
  readonly exchangeKey: string;
}

/** Reads a host's identity, or makes one, which is on the disk when this returns. @throws Error when the file is damaged */
export async function openIdentity(path: string): Promise<Identity> {
  const known = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (known !== undefined) return identityOf(known, path);
  const pem = [generateKeyPairSync('ed25519'), generateKeyPairSync('x25519')]
    .map(({ privateKey }) => privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
    .join('');
  await writeDurably(path, pem, { mode: MODE, exclusive: true });
  return identityOf(pem, path);
}

function identityOf(pem: string, path: string): Identity {
  const [signs, exchanges] = pem.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
  try {
    const signingKey = createPrivateKey(signs ?? '');
    const verifyKey = publicKeyText(createPublicKey(signingKey));
    const exchange = createPublicKey(createPrivateKey(exchanges ?? ''));
    const exchangeKey = toBase64(exchange.export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD_BYTES));
    return { id: fingerprintOf(verifyKey), signingKey, verifyKey, exchangeKey };
  } catch (error) {
    throw new Error(
      `${path} is damaged: put it back from a copy, or move it away to become another host, which cores must be told of.`,
      { cause: error },
    );
  }
}
