/**
 * Turns the values of an async generator into a subscription that ends when its reader leaves. The signal is aborted first: a
 * generator that is suspended at an `await` would otherwise end only at its next value.
 */
export function untilReturned<V>(source: (signal: AbortSignal) => AsyncIterable<V>): AsyncIterableIterator<V> {
  const controller = new AbortController();
  const iterator = source(controller.signal)[Symbol.asyncIterator]();
  return {
    next: () => iterator.next(),
    return: async () => {
      controller.abort();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
    throw: async (error: unknown) => {
      controller.abort();
      await iterator.return?.();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
