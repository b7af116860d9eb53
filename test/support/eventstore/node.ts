import type { Access } from './access.js';
import type { Endpoint, Faults } from './faults.js';
import type { Outlet } from './outlet.js';
import type { Store } from './store.js';

/** The node, as its services see it. */
export interface Node {
  readonly store: Store;
  readonly faults: Faults;
  readonly access: Access;
  readonly role: 'leader' | 'follower';
  /** The cluster's leader, if there is a reachable one. */
  readonly leader: Endpoint | undefined;
  /** In bytes, as the server counts them. */
  readonly maxAppendSize: number;
  /** Answers an append when it is on disk. */
  answerAppend(answer: () => void): void;
  readonly version: Version;
  /** Whether checkpoints are put at the end of the log. */
  readonly checkpointsAtEnd: boolean;
  /** The open subscriptions. */
  readonly outlets: Set<Outlet>;
  /** How many reads and subscriptions were to begin where no record begins. */
  invalidPositions: number;
  /** Resets every connection. */
  drop(): void;
}

/** The differences between versions of the server. */
export interface Version {
  readonly text: string;
  /** Reports when a subscription has caught up: from 23.10. */
  readonly saysCaughtUp: boolean;
  /** Goes back and forth between catching up and live, with a checkpoint each time it goes live: from 24.2. */
  readonly movesBothWays: boolean;
  /** Says that a position is invalid, instead of failing without a reason: from 24.2. */
  readonly namesInvalidPositions: boolean;
}

/** @param text such as `24.10.0` */
export function parseVersion(text: string): Version {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  const isFrom = (thatMajor: number, thatMinor: number) =>
    major > thatMajor || (major === thatMajor && minor >= thatMinor);
  return { text, saysCaughtUp: isFrom(23, 10), movesBothWays: isFrom(24, 2), namesInvalidPositions: isFrom(24, 2) };
}
