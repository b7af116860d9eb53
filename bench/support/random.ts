import { Random as Seeded } from '../../test/support/random.js';

/** Random values from a seed, so that every run of a bench works on the same rows. */
export class Random extends Seeded {
  /** A whole number below `limit`. */
  below(limit: number): number {
    return this.between(0, limit - 1);
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits)
      text += this.below(2 ** 32)
        .toString(16)
        .padStart(8, '0');
    return text.slice(0, digits);
  }

  /** A UUIDv7 of a time in ms: like the core's own, so that new keys are at the end of an index. */
  uuid(ms: number): string {
    const time = ms.toString(16).padStart(12, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7${this.hex(3)}-8${this.hex(3)}-${this.hex(12)}`;
  }
}
