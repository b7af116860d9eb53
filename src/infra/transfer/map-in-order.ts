/** The most values under way. */
const MAX_UNDER_WAY = 200;
/** The most bytes under way, unless a single value has more: well below what the log lets wait for the disk. */
const MAX_BYTES_UNDER_WAY = 16 * 1024 * 1024;

/**
 * Works on several values at a time and yields the results in the order of the values. `work` is called in that order
 * too. It ends with the first failure, or when the caller has had enough, after what is under way.
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
      // It is awaited in its turn; until then a failure is nobody's.
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
