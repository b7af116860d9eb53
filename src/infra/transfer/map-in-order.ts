/** The most values that are processed at a time. */
const MAX_UNDER_WAY = 200;
/** The most bytes processed at a time, unless a single value has more: well below the bytes that may wait in the log. */
const MAX_BYTES_UNDER_WAY = 16 * 1024 * 1024;

/**
 * Processes several values at a time and yields the results in the order of the values. `work` is called in that order
 * too. It ends with the first failure, or when the caller stops, after pending work has finished.
 * @throws the first error of `work`
 */
export async function* mapInOrder<V extends { readonly bytes: number }, R>(
  source: AsyncIterable<V>,
  work: (value: V) => Promise<R>,
): AsyncIterable<R> {
  const underWay: { readonly result: Promise<R>; readonly bytes: number }[] = [];
  let bytes = 0;
  try {
    for await (const value of source) {
      const result = work(value);
      // It is awaited later; this avoids an unhandled rejection until then.
      result.catch(() => undefined);
      underWay.push({ result, bytes: value.bytes });
      bytes += value.bytes;
      while (underWay.length >= MAX_UNDER_WAY || (bytes > MAX_BYTES_UNDER_WAY && underWay.length > 0)) yield* first();
    }
    while (underWay.length > 0) yield* first();
  } finally {
    await Promise.allSettled(underWay.map(({ result }) => result));
  }

  async function* first(): AsyncIterable<R> {
    const next = underWay.shift();
    if (next === undefined) return;
    bytes -= next.bytes;
    yield await next.result;
  }
}
