import type { KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import {
  base,
  clockTime,
  epoch,
  eventCount,
  hash,
  line,
  origin,
  sequence,
  writer,
  type Epoch,
  type Line,
  type Origin,
  type Sequence,
  type Writer,
} from './fields.js';
import { membersOf } from './members.js';
import { open, sign, type Format, type Opened, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';
import type { VerifyKey } from './verify-key.js';

/** The origin's statement of its history. It names no host, so it is valid at every host. */
export interface Tree {
  /** The core's clock in milliseconds since 1970; advisory. */
  readonly ts: number;
  /** The number of events that the epoch was elected on; NOT_ELECTED before its election. */
  readonly base: Sequence;
  readonly line: Line;
  /** The root over the entries of events 1 … sequence. */
  readonly root: Uint8Array;
  /** The root at the ReplicationPolicySet that began the line; in line 1, the root of nothing. */
  readonly begun: Uint8Array;
  readonly epoch: Epoch;
  readonly origin: Origin;
  /** The number of events that have been at quorum. It may be above `sequence`. */
  readonly quorum: Sequence;
  /** The writer of the claim of this epoch. */
  readonly writer: Writer;
  /** The number of the last event, from 1. */
  readonly sequence: Sequence;
  /** The root over the first `quorum` entries; the root of nothing when `quorum` is 0. */
  readonly quorumRoot: Uint8Array;
}

const TREE: Format<'tree', Tree> = {
  kind: 'tree',
  encode: ({ ts, base, line, root, begun, epoch, origin, quorum, writer, sequence, quorumRoot }) =>
    encode({ ts, base, line, root, begun, epoch, origin, quorum, writer, sequence, quorumRoot }),
  decode: (content) => {
    const member = membersOf(decodeStrict(content, 'a tree'), 'tree');
    return {
      ts: member('ts', clockTime),
      base: member('base', base),
      line: member('line', line),
      root: member('root', hash),
      begun: member('begun', hash),
      epoch: member('epoch', epoch),
      origin: member('origin', origin),
      quorum: member('quorum', eventCount),
      writer: member('writer', writer),
      sequence: member('sequence', sequence),
      quorumRoot: member('quorumRoot', hash),
    };
  },
};

/** Signs a tree with the origin's private key. @throws ProtocolError when a member is out of range */
export function signTree(tree: Tree, privateKey: KeyObject): SignedThing<'tree'> {
  return sign(TREE, tree, privateKey);
}

/**
 * Verifies and decodes a tree under the origin's key. It does not check that the tree is complete.
 * @throws ProtocolError TOO_LARGE, NOT_SIGNED or MALFORMED
 */
export function openTree(signed: SignedThing<'tree'>, originKey: VerifyKey): Opened<'tree', Tree> {
  return open(TREE, signed, originKey);
}

/** Whether a tree reaches the events that its epoch was elected on. Only such a tree may be a host's head. */
export function isComplete({ sequence, base }: Pick<Tree, 'sequence' | 'base'>): boolean {
  return sequence >= base;
}

/** The members that trees are ranked by, in this order. */
export type Rank = Pick<Tree, 'line' | 'epoch' | 'sequence'>;

/**
 * Compares by (line, epoch, sequence): below 0 when `a` ranks below `b`, 0 when they rank the same, above 0 otherwise.
 * No tree (undefined) ranks below every tree.
 */
export function compareRank(a: Rank | undefined, b: Rank | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return a.line - b.line || a.epoch - b.epoch || a.sequence - b.sequence;
}
