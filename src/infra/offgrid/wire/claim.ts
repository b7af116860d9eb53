import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { publicKeyText, signMessage, verifyMessage } from '../../crypto/signing.js';

/** The longest name of an origin, in characters. */
export const MAX_ORIGIN_LENGTH = 64;
/** What an origin may be called. */
export const ORIGIN = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${MAX_ORIGIN_LENGTH - 1}}$`);

/** The highest writer epoch: far beyond what claims can use up, and far below what numbers can hold. */
export const MAX_EPOCH = 2 ** 48;

/** A writer's claim to be the one who writes, from an epoch on. */
export const claimSchema = z.strictObject({
  epoch: z.number().int().min(1).max(MAX_EPOCH),
  /** `<log id>:<random>`: who writes, and from which log. */
  writer: z.string().regex(/^[A-Za-z0-9]{1,32}:[A-Za-z0-9_-]{8,64}$/),
  challenge: z.string().min(16).max(128),
  /** The origin's Ed25519 key, base64: pinned at first contact. */
  key: z.string().max(64),
  signature: z.string().max(128),
});

export type Claim = z.infer<typeof claimSchema>;

/** The right to write, as a host remembers it. */
export interface Grant {
  readonly epoch: number;
  readonly writer: string;
}

/** A right to write with what shows that its origin claimed it: nobody is fenced on a host's word alone. */
export type SignedGrant = Omit<Claim, 'key'>;

/** Whom a message of an origin is for: said in what is signed, so that it is good nowhere else. */
export interface Destination {
  readonly origin: string;
  /** The fingerprint of the host. */
  readonly host: string;
}

/** A claim for an origin at a host, signed with the origin's key. */
export function signClaim(
  keys: { readonly signingKey: KeyObject; readonly verifyKey: KeyObject },
  { origin, host }: Destination,
  claim: Grant & { readonly challenge: string },
): Claim {
  const { epoch, writer, challenge } = claim;
  const signature = signMessage(keys.signingKey, { tag: 'claim/v1', origin, host, epoch, writer, challenge });
  return { epoch, writer, challenge, key: publicKeyText(keys.verifyKey), signature };
}

export function isClaimSigned(claim: SignedGrant, { origin, host }: Destination, key: KeyObject): boolean {
  const { epoch, writer, challenge, signature } = claim;
  return verifyMessage(key, { tag: 'claim/v1', origin, host, epoch, writer, challenge }, signature);
}
