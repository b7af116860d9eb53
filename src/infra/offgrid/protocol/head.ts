import type { KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { openClaim, type Claim } from './claim.js';
import {
  clockTime,
  eventCount,
  fingerprint,
  hash,
  MAX_SHORT_BODY_BYTES,
  origin,
  type Fingerprint,
  type Origin,
  type Sequence,
} from './fields.js';
import { byteString, membersOf, nullable } from './members.js';
import { ProtocolError } from './protocol-error.js';
import { decodeSigned, open, pairOf, sign, signedThing, type Format, type Opened, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';
import { isComplete, openTree, type Tree } from './tree.js';
import { VERIFY_KEY_BYTES, type VerifyKey } from './verify-key.js';

/**
 * A host's statement: "All events of `tree` are on my disk." For an origin that the host does not know, `tree`, `claim` and
 * `staged` are null, and so is `key` unless the host's configuration names the origin's key.
 */
export interface Head {
  /** The host's clock in milliseconds since 1970; advisory. */
  readonly ts: number;
  /** The origin's verify key that the host has pinned, 32 bytes. */
  readonly key: Uint8Array | null;
  readonly host: Fingerprint;
  /** The complete tree whose events the host has. */
  readonly tree: SignedThing<'tree'> | null;
  /** The claim that the host has granted. */
  readonly claim: SignedThing<'claim'> | null;
  readonly origin: Origin;
  /** The last tree of the staged history. */
  readonly staged: SignedThing<'tree'> | null;
  /** The number of events of the head that the host knows to be damaged. */
  readonly damaged: Sequence;
  /** SHA-256 of the request body, or the challenge of a GET: 32 bytes. */
  readonly request: Uint8Array;
}

const HEAD: Format<'head', Head> = {
  kind: 'head',
  encode: ({ ts, key, host, tree, claim, origin, staged, damaged, request }) =>
    encode({
      ...{ ts, key, host, origin, damaged, request },
      tree: tree && pairOf(tree),
      claim: claim && pairOf(claim),
      staged: staged && pairOf(staged),
    }),
  decode: (content) => {
    const member = membersOf(decodeStrict(content, 'a head'), 'head');
    return {
      ts: member('ts', clockTime),
      key: member('key', nullable(byteString(VERIFY_KEY_BYTES))),
      host: member('host', fingerprint),
      tree: member('tree', nullable(signedThing('tree'))),
      claim: member('claim', nullable(signedThing('claim'))),
      origin: member('origin', origin),
      staged: member('staged', nullable(signedThing('tree'))),
      damaged: member('damaged', eventCount),
      request: member('request', hash),
    };
  },
};

/** Signs a head with the host's private key. @throws ProtocolError when a member is out of range */
export function signHead(head: Head, privateKey: KeyObject): SignedThing<'head'> {
  return sign(HEAD, head, privateKey);
}

/** Verifies and decodes a head under the host's key. @throws ProtocolError TOO_LARGE, NOT_SIGNED or MALFORMED */
export function openHead(signed: SignedThing<'head'>, hostKey: VerifyKey): Opened<'head', Head> {
  return open(HEAD, signed, hostKey);
}

/** A head from the body of an answer; it is not verified. @throws ProtocolError TOO_LARGE or MALFORMED */
export function decodeHeadAnswer(body: Uint8Array): SignedThing<'head'> {
  checkBodySize(body, MAX_SHORT_BODY_BYTES);
  return decodeSigned('head', body);
}

/** The origin's statements in a head, verified. */
export interface HeadStatements {
  readonly tree: Opened<'tree', Tree> | null;
  readonly claim: Opened<'claim', Claim> | null;
  readonly staged: Opened<'tree', Tree> | null;
}

/**
 * Verifies and decodes the statements of the origin in a head.
 * @throws ProtocolError TOO_LARGE; NOT_SIGNED when a signature is not the origin's; MALFORMED when a statement is malformed
 * or is of another origin, when the claim is for another host, or when `tree` is not complete
 */
export function openStatements(head: Head, originKey: VerifyKey): HeadStatements {
  const tree = head.tree && openTree(head.tree, originKey);
  const claim = head.claim && openClaim(head.claim, originKey);
  const staged = head.staged && openTree(head.staged, originKey);
  for (const statement of [tree, claim, staged]) {
    if (statement !== null && statement.value.origin !== head.origin)
      throw new ProtocolError('MALFORMED', `a head contains a ${statement.signed.kind} of another origin`);
  }
  if (claim !== null && claim.value.host !== head.host)
    throw new ProtocolError('MALFORMED', 'a head contains a claim for another host');
  if (tree !== null && !isComplete(tree.value))
    throw new ProtocolError(
      'MALFORMED',
      `the tree of a head has ${tree.value.sequence} events, fewer than its base ${tree.value.base}`,
    );
  return { tree, claim, staged };
}
