import { type MerkleFrontier } from '../../../domain/merkle.js';
import { toHex } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import { HostError, type ReturnedEvent } from '../replicator/host-port.js';
import { NotSealedHere, type OpenedEvent, type Opener } from './opener.js';
import type { Source } from './source.js';

/** Events asked for at a time. */
const PAGE = 1_000;

/** Nobody gives back what was signed for. */
export class HistoryError extends Error {
  override readonly name = 'HistoryError';
}

/** What reading a history needs, and whom it tells. */
export interface HistoryGround {
  readonly origin: string;
  readonly opener: Opener;
  /** Over what has been read so far; it grows with what is read. */
  readonly tree: MerkleFrontier;
  /** A host gave what cannot be: it is not asked again. */
  readonly onTrouble: (source: Source, why: string) => void;
}

/**
 * The events of an origin up to a signed head, page by page, in order and verified one by one. What one host does not give
 * as it was sealed is taken from another; at the end the addresses must have the root that was signed.
 * @param sources the one whose head it is first
 * @throws HistoryError
 */
export async function* readHistory(
  sources: readonly Source[],
  { origin, opener, tree, onTrouble }: HistoryGround,
): AsyncIterable<readonly OpenedEvent[]> {
  const [newest] = sources;
  if (newest === undefined) return;
  const until = newest.head.sequence;
  let useful = sources.filter(({ head }) => head.sequence > tree.size);
  while (tree.size < until) {
    const source = useful.find(({ head }) => head.sequence > tree.size);
    if (source === undefined)
      throw new HistoryError(`No host gives event ${tree.size + 1} of '${origin}' as it was sealed.`);
    const last = Math.min(until, source.head.sequence);
    try {
      for await (const page of readFrom(source, origin, tree.size, last)) {
        const { opened, trouble } = openPage(page, opener, tree);
        if (opened.length > 0) yield opened;
        if (trouble !== undefined) throw trouble;
      }
    } catch (error) {
      if (!(error instanceof HostError) && !(error instanceof NotSealedHere)) throw error;
      onTrouble(source, error.message);
      useful = useful.filter((other) => other !== source);
    }
  }
  if (toHex(tree.root()) !== newest.head.root)
    throw new HistoryError(
      `The events that the hosts give do not have the root that ${newest.url} (${newest.host}) signed for.`,
    );
}

/** Opens a page as far as it is what was sealed. */
function openPage(
  page: readonly ReturnedEvent[],
  opener: Opener,
  tree: MerkleFrontier,
): { readonly opened: readonly OpenedEvent[]; readonly trouble: NotSealedHere | undefined } {
  const opened: OpenedEvent[] = [];
  try {
    for (const event of page) {
      const next = tree.size + 1;
      if (event.sequence !== next) throw new NotSealedHere(`it gives event ${event.sequence} for ${next}`);
      opened.push(opener.open(event));
      tree.append(addressOf(event.sealed));
    }
  } catch (error) {
    if (error instanceof NotSealedHere) return { opened, trouble: error };
    throw error;
  }
  return { opened, trouble: undefined };
}

/** A host's events from one to another; the next page is asked for while one is used. */
async function* readFrom(
  source: Source,
  origin: string,
  after: number,
  last: number,
): AsyncIterable<readonly ReturnedEvent[]> {
  const ask = (from: number) => {
    const page = source.port.events(origin, from, Math.min(PAGE, last - from));
    page.catch(() => undefined);
    return page;
  };
  for (let [sequence, next] = [after, ask(after)]; sequence < last;) {
    const page = await next;
    const end = page.at(-1)?.sequence;
    if (end === undefined || end <= sequence || end > last)
      throw new NotSealedHere(`it does not give event ${sequence + 1}`);
    sequence = end;
    if (sequence < last) next = ask(sequence);
    yield page;
  }
}
