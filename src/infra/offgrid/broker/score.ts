/**
 * The score of a host measures how regularly it sends heartbeats. It is an exponentially weighted mean over time of 1 while
 * the host is heard and 0 while it is not; a host is heard for GRACE_S after each heartbeat. During a time t in which it is
 * heard, a score s becomes 1 − (1 − s) · 0.5^(t/H); during a time t in which it is not, it becomes s · 0.5^(t/H), with
 * H = SCORE_HALF_LIFE_S. Only time counts: additional heartbeats do not raise the score.
 */

/** The interval between the heartbeats of a host, in seconds. */
export const HEARTBEAT_S = 10;
/** The number of missed heartbeats after which a host is lost. */
export const LOST_AFTER_HEARTBEATS = 3;
/** How long a host counts as heard after a heartbeat, in seconds: the next one may be late by half the interval. */
export const GRACE_S = 1.5 * HEARTBEAT_S;
/** The half-life of the past in a score, in seconds. */
export const SCORE_HALF_LIFE_S = 300;
/** The score of a new host. */
export const NEW_HOST_SCORE = 0.5;

/** The state of a host: lost after LOST_AFTER_HEARTBEATS missed heartbeats. */
export type HostState = 'active' | 'lost';

/** The stored state of a host's heartbeats. Times are Unix seconds. */
export interface Heartbeats {
  readonly lastSeen: number;
  readonly score: number;
  /** The time that the score is of. It is in the future after a start of the broker, while the score does not change. */
  readonly scoreAt: number;
}

/** The state of a host at a time. @param nowS in Unix seconds */
export function stateAt({ lastSeen }: Heartbeats, nowS: number): HostState {
  // The absolute difference, so that a clock that was set back does not keep a host active.
  return Math.abs(nowS - lastSeen) <= LOST_AFTER_HEARTBEATS * HEARTBEAT_S ? 'active' : 'lost';
}

/** The score at a later time, 0–1. @param nowS in Unix seconds */
export function scoreAt({ lastSeen, score, scoreAt: from }: Heartbeats, nowS: number): number {
  const elapsed = Math.max(0, nowS - from);
  const heard = Math.min(Math.max(0, lastSeen + GRACE_S - from), elapsed);
  const risen = 1 - (1 - score) * 0.5 ** (heard / SCORE_HALF_LIFE_S);
  return risen * 0.5 ** ((elapsed - heard) / SCORE_HALF_LIFE_S);
}

/** The state after a heartbeat. @param nowS in Unix seconds */
export function afterHeartbeat(before: Heartbeats | undefined, nowS: number): Heartbeats {
  const score = before === undefined ? NEW_HOST_SCORE : scoreAt(before, nowS);
  return { lastSeen: nowS, score, scoreAt: nowS };
}

/**
 * The state when a broker starts. The time since `heardAt`, when it last heard any host, and the first GRACE_S after the start
 * do not lower the score of any host. Times are in Unix seconds.
 */
export function afterRestart(before: Heartbeats, heardAt: number, nowS: number): Heartbeats {
  return { ...before, score: scoreAt(before, heardAt), scoreAt: Math.max(before.scoreAt, nowS + GRACE_S) };
}
