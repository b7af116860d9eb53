import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { toBase64 } from '../../crypto/bytes.js';
import { fingerprintOf, publicKeyText } from '../../crypto/signing.js';
import { readIfThere, writeDurably } from '../../platform/files.js';

/** The mode of the file: only its owner may read it. */
const MODE = 0o600;
/** The number of bytes before the 32 of an X25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_HEAD_BYTES = 12;
/** The first line of the file. Only the fingerprint in it reveals that a bit of a key has changed. */
const FIRST_LINE = /^Identity of host ([0-9a-f]{32})\n/;
const PRIVATE_KEY = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g;

/** The identity of a host: created at its first start, and never changed. */
export interface Identity {
  /** The fingerprint of its verify key. */
  readonly id: string;
  readonly signingKey: KeyObject;
  /** Ed25519, base64. */
  readonly verifyKey: string;
  /** X25519, base64: for clients that send it secrets, as the prototype's hosts offered. */
  readonly exchangeKey: string;
}

/** An identity that is not on the disk yet. */
export interface NewIdentity {
  readonly id: string;
  /** Writes the identity; it is on the disk when this resolves. @throws Error when the file exists already */
  write(path: string): Promise<Identity>;
}

/** Reads a host's identity; undefined when the file does not exist. @throws Error when the file is damaged */
export async function readIdentity(path: string): Promise<Identity | undefined> {
  const known = (await readIfThere(path))?.toString();
  return known === undefined ? undefined : identityOf(known, path);
}

/** Generates an identity. */
export function newIdentity(): NewIdentity {
  const signs = generateKeyPairSync('ed25519');
  const id = fingerprintOf(publicKeyText(signs.publicKey));
  const keys = [signs, generateKeyPairSync('x25519')].map(({ privateKey }) =>
    privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  );
  const pem = `Identity of host ${id}\n${keys.join('')}`;
  return {
    id,
    write: async (path) => {
      await writeDurably(path, pem, { mode: MODE, exclusive: true });
      return identityOf(pem, path);
    },
  };
}

function identityOf(pem: string, path: string): Identity {
  const [, stated] = FIRST_LINE.exec(pem) ?? [];
  const [signs, exchanges] = pem.match(PRIVATE_KEY) ?? [];
  try {
    const signingKey = keyOf(signs, 'ed25519');
    const verifyKey = publicKeyText(createPublicKey(signingKey));
    if (fingerprintOf(verifyKey) !== stated) throw new Error('its fingerprint is that of another key');
    const exchange = createPublicKey(keyOf(exchanges, 'x25519'));
    const exchangeKey = toBase64(exchange.export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD_BYTES));
    return { id: fingerprintOf(verifyKey), signingKey, verifyKey, exchangeKey };
  } catch (error) {
    throw new Error(
      `${path} is damaged. Restore it from a copy, or move it away: the host then becomes another, whose new fingerprint the cores need.`,
      { cause: error },
    );
  }
}

function keyOf(pem: string | undefined, type: 'ed25519' | 'x25519'): KeyObject {
  const key = createPrivateKey(pem ?? '');
  if (key.asymmetricKeyType !== type) throw new Error(`one of its keys is not of type ${type}`);
  return key;
}
