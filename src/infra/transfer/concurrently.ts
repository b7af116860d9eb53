/** Calls `work` for each value, at most `limit` at a time; rejects with the first failure, after those under way. */
export async function concurrently<V>(
  source: AsyncIterable<V>,
  limit: number,
  work: (value: V) => Promise<void>,
): Promise<void> {
  let running = 0;
  let failure: { readonly error: unknown } | undefined;
  let wake: () => void = () => undefined;
  const untilFewerThan = async (count: number) => {
    while (running >= count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  for await (const value of source) {
    running += 1;
    void work(value)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        running -= 1;
        wake();
      });
    await untilFewerThan(limit);
    if (failure !== undefined) break;
  }
  await untilFewerThan(1);
  if (failure !== undefined) throw failure.error;
}
