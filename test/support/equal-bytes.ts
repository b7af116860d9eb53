import { expect } from 'vitest';

/** Compares byte arrays of the same class as a whole: the default, byte by byte, took a tenth of the time of all tests. */
expect.addEqualityTesters([
  (a, b) => {
    const isOfBytes = a instanceof Uint8Array && b instanceof Uint8Array && a.constructor === b.constructor;
    return isOfBytes ? Buffer.compare(a, b) === 0 : undefined;
  },
]);
