/** The longest reason, in characters. */
const MAX_REASON = 300;

/** The message of an error on one line, of at most 300 characters. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, ' ').slice(0, MAX_REASON);
}
