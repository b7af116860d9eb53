import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { signMessage, verifyMessage } from '../../crypto/signing.js';

/** A host's word for what it holds of an origin; docs/protocol.md. */
export interface SignedHead {
  readonly tag: 'head/v1';
  readonly host: string;
  readonly origin: string;
  /** The writer epoch of the last batch it took; 0 before the first. */
  readonly epoch: number;
  /** The number of its last event; 0 before the first. */
  readonly sequence: number;
  /** The Merkle root over the addresses of events 1 … sequence, hexadecimal. */
  readonly root: string;
  /** The host's clock, in milliseconds since 1970; advisory. */
  readonly ts: number;
  readonly challenge?: string;
  /** Ed25519, base64. */
  readonly signature: string;
}

const safeInteger = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** A signed head as it comes in: JSON of these members and no others. */
export const signedHeadSchema = z.strictObject({
  tag: z.literal('head/v1'),
  host: z.string().max(64),
  origin: z.string().max(64),
  epoch: safeInteger,
  sequence: safeInteger,
  root: z.string().regex(/^[0-9a-f]{64}$/),
  ts: safeInteger,
  challenge: z.string().max(128).exactOptional(),
  signature: z.string().max(128),
}) satisfies z.ZodType<SignedHead>;

/** Signs a head: Ed25519 over the DAG-CBOR of everything in it but the signature. */
export function signHead(key: KeyObject, head: Omit<SignedHead, 'signature'>): SignedHead {
  return { ...head, signature: signMessage(key, head) };
}

/** Whether a head was signed with a key. */
export function isSigned(head: SignedHead, key: KeyObject): boolean {
  const { signature, ...rest } = head;
  return verifyMessage(key, rest, signature);
}
