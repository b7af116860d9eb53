import { sodium } from '../../src/infra/crypto/sodium.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { decodeBatch, type Batch } from '../../src/infra/offgrid/protocol/batch.js';
import { openTree, type Tree } from '../../src/infra/offgrid/protocol/tree.js';
import { verifyKeyOf } from '../../src/infra/offgrid/protocol/verify-key.js';

/** The origin of every world, and its root key. */
export const ORIGIN = 'core-v2';
export const ROOT = new RootKey(sodium.crypto_generichash(32, 'the root of the simulation', null));
export const ORIGIN_KEY = verifyKeyOf(ROOT.verifyKey);

/** A batch that was sent, with its tree. */
export interface SentBatch {
  readonly batch: Batch;
  readonly tree: Tree;
}

const decoded = new WeakMap<Uint8Array, SentBatch>();

/** A decoded body. The same bytes serve every host and every replay, so they are decoded once. */
export function batchOf(body: Uint8Array): SentBatch {
  const known = decoded.get(body);
  if (known !== undefined) return known;
  const batch = decodeBatch(body);
  const sent = { batch, tree: openTree(batch.tree, ORIGIN_KEY).value };
  decoded.set(body, sent);
  return sent;
}
