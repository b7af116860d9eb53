import type { AllStreamSubscription, StreamSubscription } from '@eventstore/db-client';
import { vi } from 'vitest';

/** The longest that a test waits for a delivery of a subscription, in milliseconds. */
const PATIENCE_MS = 15_000;

/** The deliveries of a subscription so far, in order: types of events, commit positions of checkpoints, `caughtUp`. */
export class Watch {
  readonly seen: (string | bigint)[] = [];
  error: unknown;
  isOver = false;

  constructor(subscription: AllStreamSubscription | StreamSubscription) {
    subscription
      .on('data', ({ event }) => this.seen.push(event?.type ?? ''))
      .on('caughtUp', () => this.seen.push('caughtUp'))
      .on('error', (error) => (this.error = error))
      .on('end', () => (this.isOver = true));
  }

  get events(): string[] {
    return this.seen.filter((item) => typeof item === 'string' && item !== 'caughtUp') as string[];
  }

  get checkpoints(): bigint[] {
    return this.seen.filter((item) => typeof item === 'bigint');
  }

  async until(holds: (watch: this) => boolean): Promise<this> {
    await vi.waitFor(
      () => {
        if (!holds(this))
          throw new Error(
            `the subscription delivered ${this.seen.map(String).join(' ')}; error: ${String(this.error)}`,
          );
      },
      { timeout: PATIENCE_MS, interval: 5 },
    );
    return this;
  }
}
