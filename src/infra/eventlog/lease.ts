/**
 * The right to do what only one of several cores on a log may do at a time. A core tries to take it until it holds it,
 * and keeps it until it stops or loses it. No two cores ever hold it at the same time.
 */
export interface Lease {
  /** Whether this core holds it now. It may be lost at any moment: check right before each action. */
  readonly isHeld: boolean;
  /** Rises whenever a core takes the lease: a core that acts under a lower epoch is out of date. */
  readonly epoch: bigint;
  /** Releases it, so that another core can take it immediately. */
  stop(): Promise<void>;
}

/** The lease of a core that is the only one on its log: always held. */
export const soleLease: Lease = { isHeld: true, epoch: 0n, stop: () => Promise.resolve() };
