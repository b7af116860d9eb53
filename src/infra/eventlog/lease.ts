/**
 * The right to do what only one core on a log may do at a time. It is sought until it is held, and kept until it is
 * stopped or lost; at no time do two hold it.
 */
export interface Lease {
  /** Whether it is held now. It may be lost at any moment: ask right before acting, each time. */
  readonly isHeld: boolean;
  /** Rises whenever somebody takes it: who acts under a lower one is out of date. */
  readonly epoch: bigint;
  /** Lets go of it, so that another can have it at once. */
  stop(): Promise<void>;
}

/** The lease of a core that has its log to itself. */
export const soleLease: Lease = { isHeld: true, epoch: 0n, stop: () => Promise.resolve() };
