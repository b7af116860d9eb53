import type { KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import {
  epoch,
  fingerprint,
  origin,
  writer,
  type Epoch,
  type Fingerprint,
  type Origin,
  type Writer,
} from './fields.js';
import { membersOf } from './members.js';
import { open, sign, type Format, type Opened, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';
import type { VerifyKey } from './verify-key.js';

/** The origin's statement that one process writes from this epoch on. It is valid only at the host that it names. */
export interface Claim {
  readonly host: Fingerprint;
  readonly epoch: Epoch;
  readonly origin: Origin;
  readonly writer: Writer;
}

const CLAIM: Format<'claim', Claim> = {
  kind: 'claim',
  encode: ({ host, epoch, origin, writer }) => encode({ host, epoch, origin, writer }),
  decode: (content) => {
    const member = membersOf(decodeStrict(content, 'a claim'), 'claim');
    return {
      host: member('host', fingerprint),
      epoch: member('epoch', epoch),
      origin: member('origin', origin),
      writer: member('writer', writer),
    };
  },
};

/** Signs a claim with the origin's private key. @throws ProtocolError when a member is out of range */
export function signClaim(claim: Claim, privateKey: KeyObject): SignedThing<'claim'> {
  return sign(CLAIM, claim, privateKey);
}

/** Verifies and decodes a claim under the origin's key. @throws ProtocolError TOO_LARGE, NOT_SIGNED or MALFORMED */
export function openClaim(signed: SignedThing<'claim'>, originKey: VerifyKey): Opened<'claim', Claim> {
  return open(CLAIM, signed, originKey);
}
