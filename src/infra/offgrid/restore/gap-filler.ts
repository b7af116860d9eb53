import { ETYPES, isEventType, isReplicated } from '../../../domain/event.js';
import type { RootKey } from '../../crypto/root-key.js';
import { HostError } from '../replicator/host-port.js';
import type { Gap, Remains } from './damage.js';
import type { KnownKeys } from './known-keys.js';
import { NotAnEvent, NotSealedHere, Opener, type OpenedEvent } from './opener.js';
import type { OutboxNumbers } from './outbox-numbers.js';
import { RepairError } from './repair-error.js';
import type { Source } from './source.js';

/** What goes to a damaged position: an event of a host's, or what a truncation leaves, for the event never travelled. */
export interface Filling {
  readonly position: number;
  readonly remains: Remains | undefined;
  readonly fetched: Fetched | undefined;
}

/** An event with who gave it. */
export interface Fetched {
  readonly event: OpenedEvent;
  readonly source: Source;
}

/** What filling works with. */
export interface FillingGround {
  readonly origin: string;
  readonly root: RootKey;
  /** Those before the gap; they grow with what is fetched. */
  readonly keys: KnownKeys;
  readonly outbox: OutboxNumbers | undefined;
  /** The hosts that answer; they are asked the first time. */
  readonly sources: () => Promise<readonly Source[]>;
  readonly onTrouble: (message: string) => void;
}

/** Finds what belongs into the gaps of a log, one gap after the other. */
export class GapFiller {
  readonly #ground: FillingGround;
  /** What was fetched to count by, lest it be fetched again. */
  readonly #fetched = new Map<number, Fetched | undefined>();

  constructor(ground: FillingGround) {
    this.#ground = ground;
  }

  /**
   * @param first the number of the first event that travelled from the gap, if one did
   * @returns the fillings, and the positions for which no host has anything
   * @throws RepairError when it cannot be told which of the events travelled
   */
  async fill(gap: Gap, first: number): Promise<{ readonly fillings: Filling[]; readonly empty: number[] }> {
    const travels = (await this.#rememberedIn(gap, first)) ?? (await this.#countedIn(gap, first));
    const fillings: Filling[] = [];
    const empty: number[] = [];
    let sequence = first;
    for (let position = gap.from; position <= gap.to; position += 1) {
      const remains = gap.remains.get(position);
      if (!travels.has(position)) {
        fillings.push({ position, remains, fetched: undefined });
        continue;
      }
      const fetched = await this.#fetch(sequence);
      if (fetched === undefined) empty.push(position);
      else fillings.push({ position, remains, fetched });
      sequence += 1;
    }
    this.#fetched.clear();
    return { fillings, empty };
  }

  /** Which positions of a gap travelled, as the outbox has it; undefined when it does not know, or counts otherwise. */
  async #rememberedIn({ from, to }: Gap, first: number): Promise<ReadonlySet<number> | undefined> {
    const { outbox } = this.#ground;
    if (outbox === undefined || outbox.through < to) return undefined;
    const numbers = await outbox.between(from, to);
    if (![...numbers.values()].every((number, i) => number === first + i)) return undefined;
    return new Set(numbers.keys());
  }

  /** The same, from what the rows still say and from how many events the hosts have in between. */
  async #countedIn(gap: Gap, first: number): Promise<ReadonlySet<number>> {
    const travels = new Set<number>();
    const unclear: number[] = [];
    for (let position = gap.from; position <= gap.to; position += 1) {
      const does = doesTravel(gap.remains.get(position));
      if (does === undefined) unclear.push(position);
      else if (does) travels.add(position);
    }
    if (unclear.length === 0) return travels;
    const count = await this.#countUntil(gap.next, first, travels.size + unclear.length);
    if (count === travels.size) return travels;
    if (count === travels.size + unclear.length) return new Set([...travels, ...unclear]);
    throw new RepairError(
      `What was at the positions ${gap.from} to ${gap.to} cannot be told from the log, outbox.db and the hosts that answer. Run it again when more hosts answer, or \`sheratan restore\` into an empty folder.`,
    );
  }

  /** How many events the hosts have before one, from a number on; undefined when they do not show it. */
  async #countUntil(next: string | undefined, first: number, most: number): Promise<number | undefined> {
    for (let count = 0; count <= most; count += 1) {
      if (next === undefined && count === most) return count;
      const fetched = await this.#fetch(first + count);
      if (fetched === undefined) return next === undefined ? count : undefined;
      if (fetched.event.id === next) return count;
    }
    return undefined;
  }

  /** The event of a number, from the first host that gives it as it was sealed. */
  async #fetch(sequence: number): Promise<Fetched | undefined> {
    if (!this.#fetched.has(sequence)) this.#fetched.set(sequence, await this.#fetchAnew(sequence));
    return this.#fetched.get(sequence);
  }

  async #fetchAnew(sequence: number): Promise<Fetched | undefined> {
    const { origin, root, keys, sources, onTrouble } = this.#ground;
    const opener = new Opener(root, origin, keys.at(sequence));
    for (const source of await sources()) {
      if (source.head.sequence < sequence) continue;
      try {
        const [returned] = await source.port.events(origin, sequence - 1, 1);
        if (returned?.sequence !== sequence) throw new NotSealedHere(`it does not give event ${sequence}`);
        const event = opener.open(returned);
        if (event.type === 'KeyRotated') keys.learn(sequence, event.data);
        return { event, source };
      } catch (error) {
        if (error instanceof NotAnEvent) throw new RepairError(error.message, { cause: error });
        if (!(error instanceof HostError) && !(error instanceof NotSealedHere)) throw error;
        onTrouble(`${source.url} (${source.host}) is of no use for event ${sequence}: ${error.message}`);
      }
    }
    return undefined;
  }
}

/** Whether an event travelled, as far as its damaged row tells. */
function doesTravel(remains: Remains | undefined): boolean | undefined {
  if (remains === undefined) return undefined;
  const { type, etype } = remains;
  if (typeof type === 'string' && isEventType(type)) return isReplicated({ type, etype: ETYPES[type] });
  const byNumber = Object.entries(ETYPES).find(([, number]) => number === etype);
  return byNumber && isReplicated({ type: byNumber[0], etype: byNumber[1] });
}
