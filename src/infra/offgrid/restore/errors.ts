/** It cannot be restored; the message says why, and what to do. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

/** What ends a restore that a host could make go on for ever. */
export const GIVEN_AND_WITHHELD =
  'Hosts give events, and then give them no more, again and again. Run it again without them.';

/** The log cannot be mended; the message says why, and what to do. Nothing was changed. */
export class RepairError extends Error {
  override readonly name = 'RepairError';
}
