/** The log cannot be restored; the message states why, and what to do. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

/** The message that ends a restore that a host could otherwise prolong forever. */
export const GIVEN_AND_WITHHELD =
  'Hosts repeatedly give events and then withhold them. Run it again without these hosts.';

/** The log cannot be mended; the message states why, and what to do. Nothing was changed. */
export class RepairError extends Error {
  override readonly name = 'RepairError';
}
