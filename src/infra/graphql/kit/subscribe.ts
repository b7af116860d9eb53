/**
 * Turns what an async generator yields into a subscription that ends when its reader goes away. A generator parked on an
 * `await` would otherwise hear of it only at the next value: its signal is aborted first.
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
