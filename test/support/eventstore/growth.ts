import type { Outlet } from './outlet.js';
import type { Store } from './store.js';

/** Lets one subscription wait until the store has grown, or until the subscription is over. */
export class Growth {
  #wake: (() => void) | undefined;
  #hasGrown = false;

  constructor(store: Store, outlet: Outlet) {
    const wake = () => {
      this.#hasGrown = true;
      this.#wake?.();
    };
    const stop = store.onGrowth(wake);
    outlet.onOver(() => {
      stop();
      wake();
    });
    if (outlet.isOver) stop();
  }

  /** Resolves when the store has grown since this was last called. */
  async more(): Promise<void> {
    if (!this.#hasGrown) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    this.#hasGrown = false;
  }
}
