import { isReplicated } from '../../../domain/event.js';
import { MerkleFrontier } from '../../../domain/merkle.js';
import { toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import type { KnownKeys } from './known-keys.js';
import type { Source } from './source.js';

/** What hosts have signed for, compared with a log. */
export interface Compared {
  /** Events that were read. */
  readonly events: number;
  readonly agree: readonly Source[];
  readonly differ: readonly Source[];
}

/**
 * Reads a whole log, seals what travels as it was sealed when it was shipped, and compares the roots with those that
 * hosts have signed. Hosts that have more than the log are left out: what they signed cannot be worked out from it.
 * @param keys without any yet; they are learnt on the way
 * @throws LogError LOG_CORRUPT; RepairError when the root key is another
 */
export async function compareWithHosts(
  log: EventLog,
  keys: KnownKeys,
  sources: readonly Source[],
  onProgress: (position: bigint) => void,
): Promise<Compared> {
  const tree = new MerkleFrontier(sha256);
  const isSealed = sources.length > 0;
  const roots = new Map<number, string>();
  const sizes = new Set(sources.map(({ head }) => head.sequence));
  let events = 0;
  for await (const event of log.readAll()) {
    events += 1;
    if (isSealed && isReplicated(event)) {
      const sequence = tree.size + 1;
      tree.append(keys.seal({ sequence, event }).eid);
      if (event.type === 'KeyRotated') keys.learn(sequence, event.data);
      if (sizes.has(sequence)) roots.set(sequence, toHex(tree.root()));
    }
    onProgress(event.position);
  }
  const comparable = sources.filter(({ head }) => roots.has(head.sequence));
  return {
    events,
    agree: comparable.filter(({ head }) => roots.get(head.sequence) === head.root),
    differ: comparable.filter(({ head }) => roots.get(head.sequence) !== head.root),
  };
}
