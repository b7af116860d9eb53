/** The most numbers that are named; of further ones only the count is given. */
const MAX_NAMED = 20;

/** Numbers as a message names them: the first of them, and how many more there are. */
export function namedNumbers(numbers: readonly number[]): string {
  const more = numbers.length > MAX_NAMED ? ` and ${numbers.length - MAX_NAMED} more` : '';
  return `${numbers.slice(0, MAX_NAMED).join(', ')}${more}`;
}
