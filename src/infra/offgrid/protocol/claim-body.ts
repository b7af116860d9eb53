import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { MAX_SHORT_BODY_BYTES } from './fields.js';
import { byteString, membersOf } from './members.js';
import { pairOf, signedThing, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';
import { verifyKey, type VerifyKey } from './verify-key.js';

/** The size of the challenge in bytes. The challenge makes the body unique, and so the `request` of the answer. */
const CHALLENGE_BYTES = 16;

/** The body of `POST /replica/:origin/claim`. The answer is a head. */
export interface ClaimBody {
  /** The origin's verify key. The host pins it unless it has pinned another. */
  readonly key: VerifyKey;
  readonly claim: SignedThing<'claim'>;
  /** 16 random bytes. */
  readonly challenge: Uint8Array;
}

/** The bytes of a claim's body. */
export function encodeClaimBody({ key, claim, challenge }: ClaimBody): Uint8Array {
  return encode({ key, claim: pairOf(claim), challenge });
}

/** A claim's body from received bytes; the claim is not verified. @throws ProtocolError TOO_LARGE above 16 KiB, or MALFORMED */
export function decodeClaimBody(body: Uint8Array): ClaimBody {
  checkBodySize(body, MAX_SHORT_BODY_BYTES);
  const member = membersOf(decodeStrict(body, 'the body'), 'body');
  return {
    key: member('key', verifyKey),
    claim: member('claim', signedThing('claim')),
    challenge: member('challenge', byteString(CHALLENGE_BYTES)),
  };
}
