import type { Random } from '../support/random.js';
import type { HostDisk } from './host-disk.js';

/** An event on a disk with a change in its content, its leaf or its time. */
export function rotten(disk: HostDisk, random: Random): void {
  const [head, staged] = [disk.state?.rows.head.length ?? 0, disk.state?.rows.staged.length ?? 0];
  const length = Math.max(head, staged);
  if (length === 0) return;
  const kind = random.next();
  const sequence = random.between(1, length);
  disk.rot(sequence, (row) => {
    if (kind < 0.6) return { ...row, sealed: flipped(row.sealed, random) };
    const { leaf, written = leaf } = row;
    return kind < 0.85 ? { ...row, written, leaf: flipped(leaf, random) } : { ...row, ts: row.ts + 1 };
  });
}

function flipped(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = random.between(0, copy.byteLength - 1);
  copy[at] = copy[at]! ^ 1;
  return copy;
}
