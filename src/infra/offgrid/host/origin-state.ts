import { MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { openClaim, type Claim } from '../protocol/claim.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { Opened, SignedThing } from '../protocol/signed.js';
import { openTree, type Tree } from '../protocol/tree.js';
import { isVerifyKey, type VerifyKey } from '../protocol/verify-key.js';
import type { HistoryFrontiers } from './history-frontiers.js';
import { RefusalError } from './refusal-error.js';
import type { Place, Places, ReplicaStore, StoredOrigin } from './replica-store.js';

/** A tree whose signature was verified. */
export type OpenTree = Opened<'tree', Tree>;
/** A claim whose signature was verified. */
export type OpenClaim = Opened<'claim', Claim>;

/** The stored state of an origin, verified. */
export interface OriginState {
  readonly key: VerifyKey;
  readonly claim: OpenClaim | null;
  readonly head: OpenTree | null;
  readonly staged: OpenTree | null;
  readonly known: OpenTree | null;
  readonly places: Places;
}

/**
 * Verifies the stored state of an origin.
 * @param opened trees of the same key that were verified before
 * @throws RefusalError DAMAGED when a stored key, claim or tree does not verify
 */
export function verified(
  { key, claim, head, staged, known, places }: StoredOrigin,
  opened: readonly (OpenTree | null | undefined)[] = [],
): OriginState {
  try {
    if (!isVerifyKey(key)) throw new ProtocolError('MALFORMED', 'the stored verify key is invalid');
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
    const message = `The data of the origin on this host is damaged: ${error.message}.`;
    throw new RefusalError({ code: 'DAMAGED', message }, { cause: error });
  }
}

/**
 * Computes the places of the histories again from their trees and leaves, and stores them; the stored places are damaged.
 * @returns the state with the new places
 */
export async function placeAnew(
  state: OriginState,
  origin: string,
  store: ReplicaStore,
  frontiers: HistoryFrontiers,
): Promise<OriginState> {
  const [head, staged] = [state.head?.value.sequence ?? 0, state.staged?.value.sequence ?? 0];
  const common = state.staged === null ? head : Math.max(0, Math.min(state.places.common, head, staged));
  const lengths = { head: { sequence: head, peaks: [] }, staged: { sequence: staged, peaks: [] }, common };
  // The store finds leaves by the stored lengths, so these are stored first.
  await store.place(origin, lengths);
  const places = {
    head: { sequence: head, peaks: (await frontiers.made(head, 'head', lengths)).peaks },
    staged: { sequence: staged, peaks: (await frontiers.made(staged, 'staged', lengths)).peaks },
    common,
  };
  await store.place(origin, places);
  return { ...state, places };
}

/** Whether the stored places match the trees: columns can be damaged as well as events. */
export function arePlaced({ head, staged, places }: OriginState): boolean {
  const { common } = places;
  const shorter = Math.min(places.head.sequence, places.staged.sequence);
  const isCommon = staged === null ? common === places.head.sequence : common >= 0 && common <= shorter;
  return isCommon && isPlaced(head, places.head) && isPlaced(staged, places.staged);
}

function isPlaced(tree: OpenTree | null, { sequence, peaks }: Place): boolean {
  if (tree === null) return sequence === 0 && peaks.length === 0;
  if (tree.value.sequence !== sequence) return false;
  try {
    return equalBytes(new MerkleFrontier(sha256, sequence, peaks).root(), tree.value.root);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function isSame(a: SignedThing, b: SignedThing): boolean {
  return equalBytes(a.content, b.content) && equalBytes(a.signature, b.signature);
}
