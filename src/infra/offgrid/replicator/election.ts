import pLimit from 'p-limit';
import { meetsEveryQuorum, weightOf, type PlacedPolicy } from '../../../domain/replication.js';
import { Nudge } from '../../nudge.js';
import type { Grant } from '../wire/claim.js';
import type { Stop, WriterRecord, WriterStore } from './ports.js';
import type { SignedHead } from '../wire/head.js';

/** What a host had when it granted the claim, and how much of that is in the own log. */
interface Granted {
  readonly head: SignedHead;
  /** How many of its events are the first ones of the own log. */
  readonly common: number;
}

/**
 * Who writes. A new writer claims an epoch at so many hosts that whatever a quorum has signed, one of them has it; only
 * when all that is in its own log does it ship anything. Whoever finds that another log was granted a higher epoch, or
 * that the hosts have what its own log has not, stops for good: two stories must not go on side by side.
 */
export class Election {
  readonly #store: WriterStore;
  readonly #logId: string;
  readonly #newWriterId: () => string;
  readonly #granted = new Map<string, Granted>();
  readonly #changed = new Nudge();
  /** One change at a time: each is judged on what the one before left on the disk. */
  readonly #inTurn = pLimit(1);
  #record: WriterRecord;

  private constructor(store: WriterStore, logId: string, newWriterId: () => string, record: WriterRecord) {
    this.#store = store;
    this.#logId = logId;
    this.#newWriterId = newWriterId;
    this.#record = record;
  }

  /** @param newWriterId makes what no other writer is called */
  static async open(store: WriterStore, logId: string, newWriterId: () => string): Promise<Election> {
    const known = await store.load();
    const isOurs = known !== undefined && logOf(known.writer) === logId;
    const record = isOurs
      ? known
      : { epoch: (known?.epoch ?? 0) + 1, writer: `${logId}:${newWriterId()}`, isElected: false };
    const election = new Election(store, logId, newWriterId, record);
    if (!isOurs) await store.save(record);
    return election;
  }

  get epoch(): number {
    return this.#record.epoch;
  }

  get grant(): Grant {
    return { epoch: this.#record.epoch, writer: this.#record.writer };
  }

  get isElected(): boolean {
    return this.#record.isElected;
  }

  get stopped(): Stop | undefined {
    return this.#record.stopped;
  }

  /** Resolves when something has changed, or the signal comes. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** A host has granted the claim of an epoch. */
  granted(host: string, epoch: number, granted: Granted, policies: readonly PlacedPolicy[]): Promise<void> {
    return this.#inTurn(() => this.#count(host, epoch, granted, policies));
  }

  async #count(host: string, epoch: number, granted: Granted, policies: readonly PlacedPolicy[]): Promise<void> {
    if (this.isElected || this.stopped !== undefined || epoch !== this.epoch) return;
    this.#granted.set(host, granted);
    const some = new Set(this.#granted.keys());
    const isEnough = policies.every(
      ({ policy }) => meetsEveryQuorum(policy, some) && weightOf(policy, some) >= policy.required,
    );
    if (policies.length === 0 || !isEnough) return;
    const best = [...this.#granted.values()].reduce((a, b) => (isBetter(b, a) ? b : a));
    if (best.common < best.head.sequence) {
      await this.#end({ code: 'BEHIND', message: behind(best) });
      return;
    }
    await this.#save({ ...this.#record, isElected: true });
  }

  /** A host has granted another. One of the same log is followed, by claiming anew; one of another log ends it. */
  fenced(by: Grant): Promise<void> {
    return this.#inTurn(() => this.#yield(by));
  }

  async #yield(by: Grant): Promise<void> {
    if (by.epoch < this.epoch || this.stopped !== undefined) return;
    if (logOf(by.writer) === this.#logId) {
      this.#granted.clear();
      const writer = `${this.#logId}:${this.#newWriterId()}`;
      await this.#save({ epoch: by.epoch + 1, writer, isElected: false });
      return;
    }
    await this.#end({
      code: 'FENCED',
      message: `Another core, with another log (${logOf(by.writer)}), writes for this origin: a host has granted it epoch ${by.epoch}.`,
    });
  }

  /** Ends it for good. */
  stop(stop: Stop): Promise<void> {
    return this.#inTurn(() => this.#end(stop));
  }

  async #end(stop: Stop): Promise<void> {
    if (this.#record.stopped === undefined) await this.#save({ ...this.#record, stopped: stop });
  }

  async #save(record: WriterRecord): Promise<void> {
    await this.#store.save(record);
    this.#record = record;
    this.#changed.notify();
  }
}

/** The tail of the highest epoch, then the longest, is the one that a quorum may have signed. */
function isBetter(a: Granted, b: Granted): boolean {
  return a.head.epoch === b.head.epoch ? a.head.sequence > b.head.sequence : a.head.epoch > b.head.epoch;
}

function logOf(writer: string): string {
  return writer.slice(0, writer.indexOf(':'));
}

function behind({ head, common }: Granted): string {
  return `A host (${head.host}) has ${head.sequence} events of this origin, of which this log has the first ${common}: the log is older than what was shipped, or another.`;
}
