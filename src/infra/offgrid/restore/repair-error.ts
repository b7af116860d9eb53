/** The log cannot be mended; the message says why, and what to do. Nothing was changed. */
export class RepairError extends Error {
  override readonly name = 'RepairError';
}
