/** Work on a data folder cannot be done; the message states why, and what to do. */
export class MaintenanceError extends Error {
  override readonly name = 'MaintenanceError';
}
