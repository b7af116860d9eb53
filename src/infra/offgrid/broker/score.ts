/**
 * How well a host keeps its heartbeats: an exponentially weighted mean over time of 1 while it is heard and 0 while it
 * is not. It is heard for GRACE_S after each heartbeat. Over a time t in which it is heard the score becomes
 * 1 − (1 − s) · 0.5^(t/H), and over one in which it is not s · 0.5^(t/H), with H = SCORE_HALF_LIFE_S. So only time
 * counts: more heartbeats than asked for earn nothing.
 */

/** How often a host says that it is there, in seconds. */
export const HEARTBEAT_S = 10;
/** After how many heartbeats without one a host is lost. */
export const LOST_AFTER_HEARTBEATS = 3;
/** How long after a heartbeat a host counts as heard, in seconds: the next one may be late by half. */
export const GRACE_S = 1.5 * HEARTBEAT_S;
/** After how many seconds what was counts half. */
export const SCORE_HALF_LIFE_S = 300;
/** The score of a host nothing is known of. */
export const NEW_HOST_SCORE = 0.5;

export type HostState = 'active' | 'lost';

/** What is kept of a host's heartbeats. Times are Unix seconds. */
export interface Heartbeats {
  readonly lastSeen: number;
  readonly score: number;
  /** Of when the score is. Ahead of the time while nothing counts: a broker that starts has heard nobody yet. */
  readonly scoreAt: number;
}

export function stateAt({ lastSeen }: Heartbeats, nowS: number): HostState {
  // Either way: a clock that was set back must not keep a host active.
  return Math.abs(nowS - lastSeen) <= LOST_AFTER_HEARTBEATS * HEARTBEAT_S ? 'active' : 'lost';
}

/** The score at a later time, 0–1. */
export function scoreAt({ lastSeen, score, scoreAt: from }: Heartbeats, nowS: number): number {
  const elapsed = Math.max(0, nowS - from);
  const heard = Math.min(Math.max(0, lastSeen + GRACE_S - from), elapsed);
  const risen = 1 - (1 - score) * 0.5 ** (heard / SCORE_HALF_LIFE_S);
  return risen * 0.5 ** ((elapsed - heard) / SCORE_HALF_LIFE_S);
}

/** What is kept after a heartbeat. */
export function afterHeartbeat(before: Heartbeats | undefined, nowS: number): Heartbeats {
  const score = before === undefined ? NEW_HOST_SCORE : scoreAt(before, nowS);
  return { lastSeen: nowS, score, scoreAt: nowS };
}

/**
 * What is kept when a broker starts that was away since `heardAt`, when it heard somebody last: that it heard nobody
 * meanwhile is held against no host, nor are the first moments.
 */
export function afterRestart(before: Heartbeats, heardAt: number, nowS: number): Heartbeats {
  return { ...before, score: scoreAt(before, heardAt), scoreAt: Math.max(before.scoreAt, nowS + GRACE_S) };
}
