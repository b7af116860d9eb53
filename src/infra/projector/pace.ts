import { performance } from 'node:perf_hooks';
import { Rate } from './rate.js';

/** How fast a projection goes, and for how long it has been behind. */
export class Pace {
  readonly #events = new Rate(() => performance.now());
  /** In positions: what lies between two of them need not be one event. */
  readonly #positions = new Rate(() => performance.now());
  /** Since when it has been seen behind; always, until it was at the end once. */
  #behindSince: number | undefined = Number.NEGATIVE_INFINITY;

  /** It went on by some events, over so many positions. */
  add(events: number, positions: bigint): void {
    this.#events.add(events);
    this.#positions.add(Number(positions));
  }

  get eventsPerSecond(): number {
    return this.#events.perSecond();
  }

  /** When it will be at the end, in seconds, at this pace; `null` when it does not move. @param behind in positions */
  etaSeconds(behind: bigint): number | null {
    if (behind <= 0n) return 0;
    const perSecond = this.#positions.perSecond();
    return perSecond > 0 ? Number(behind) / perSecond : null;
  }

  /** Somebody has seen whether it was at the end. */
  seen(isAtEnd: boolean): void {
    if (isAtEnd) this.#behindSince = undefined;
    else this.#behindSince ??= performance.now();
  }

  /** For how long it has been behind, as far as anyone looked, in milliseconds; infinity before it was at the end once. */
  get behindMs(): number {
    return this.#behindSince === undefined ? 0 : performance.now() - this.#behindSince;
  }
}
