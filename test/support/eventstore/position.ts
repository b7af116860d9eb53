/** A position in `$all`. Events have the same number twice; checkpoints and ends of pages may have 0 as the second. */
export interface Position {
  readonly commit: bigint;
  readonly prepare: bigint;
}

/** Before everything. */
export const START: Position = { commit: -1n, prepare: -1n };

export function at(position: bigint): Position {
  return { commit: position, prepare: position };
}

export function compare(a: Position, b: Position): number {
  if (a.commit !== b.commit) return a.commit < b.commit ? -1 : 1;
  if (a.prepare !== b.prepare) return a.prepare < b.prepare ? -1 : 1;
  return 0;
}
