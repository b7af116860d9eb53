import { equalBytes } from '../../crypto/bytes.js';
import { openClaim, type Claim } from '../protocol/claim.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { Opened, SignedThing } from '../protocol/signed.js';
import { openTree, type Tree } from '../protocol/tree.js';
import { isVerifyKey, type VerifyKey } from '../protocol/verify-key.js';
import { RefusalError } from './refusal-error.js';
import type { Places, StoredOrigin } from './replica-store.js';

export type OpenTree = Opened<'tree', Tree>;
export type OpenClaim = Opened<'claim', Claim>;

/** What is stored of an origin, verified. */
export interface OriginState {
  readonly key: VerifyKey;
  readonly claim: OpenClaim | null;
  readonly head: OpenTree | null;
  readonly staged: OpenTree | null;
  readonly known: OpenTree | null;
  readonly places: Places;
}

/**
 * The state that is stored.
 * @param opened trees of the same key that were verified before
 * @throws RefusalError DAMAGED when a signature of it does not verify any more
 */
export function verified(
  { key, claim, head, staged, known, places }: StoredOrigin,
  opened: readonly (OpenTree | null | undefined)[] = [],
): OriginState {
  try {
    if (!isVerifyKey(key)) throw new ProtocolError('MALFORMED', 'the key is not one that may be pinned');
    const treeOf = (signed: SignedThing<'tree'> | null) =>
      signed && (opened.find((tree) => tree && isSame(tree.signed, signed)) ?? openTree(signed, key));
    return {
      key,
      claim: claim && openClaim(claim, key),
      head: treeOf(head),
      staged: treeOf(staged),
      known: treeOf(known),
      places,
    };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const message = `What this host keeps of the origin is damaged: ${error.message}.`;
    throw new RefusalError({ code: 'DAMAGED', message }, { cause: error });
  }
}

function isSame(a: SignedThing, b: SignedThing): boolean {
  return equalBytes(a.content, b.content) && equalBytes(a.signature, b.signature);
}
