import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { categoryOf, isCategory } from '../../src/domain/event.js';
import { keyringStream, sealingEpoch, type KeyEpoch } from '../../src/domain/keyring.js';

const EPOCHS: readonly KeyEpoch[] = [
  { keyEpoch: 1, sequence: 10 },
  { keyEpoch: 2, sequence: 11 },
  { keyEpoch: 3, sequence: 20 },
];

const event = (sequence: number, type = 'JobCreated') => ({ sequence, type });
const epochOf = (sequence: number, type?: string) => sealingEpoch(EPOCHS, event(sequence, type))?.keyEpoch ?? 0;

describe('the key that seals an event', () => {
  it('is derived from the root key before the first KeyRotated', () => {
    expect([1, 9].map((sequence) => epochOf(sequence))).toEqual([0, 0]);
    expect(sealingEpoch(EPOCHS.slice(0, 0), event(1))).toBeUndefined();
  });

  it('is that of the latest KeyRotated below it', () => {
    expect([12, 19, 21, 1_000_000].map((sequence) => epochOf(sequence))).toEqual([2, 2, 3, 3]);
  });

  it('is derived from the root key for every KeyRotated, so that the root key opens them all', () => {
    expect([10, 11, 20, 30].map((sequence) => epochOf(sequence, 'KeyRotated'))).toEqual([0, 0, 0, 0]);
  });

  it('does not change because of later events', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 60 })),
        fc.integer({ min: 1, max: 60 }),
        (places, sequence) => {
          const epochs = places.sort((a, b) => a - b).map((place, i) => ({ keyEpoch: i + 1, sequence: place }));
          const known = epochs.filter((epoch) => epoch.sequence <= sequence);
          expect(sealingEpoch(epochs, event(sequence))).toEqual(sealingEpoch(known, event(sequence)));
        },
      ),
    );
  });

  it('is one that the log names before the event', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 60 })),
        fc.integer({ min: 1, max: 60 }),
        (places, sequence) => {
          const epochs = places.sort((a, b) => a - b).map((place, i) => ({ keyEpoch: i + 1, sequence: place }));
          const below = places.filter((place) => place < sequence).length;
          expect(sealingEpoch(epochs, event(sequence))?.keyEpoch ?? 0).toBe(below);
        },
      ),
    );
  });
});

describe('the stream of an origin’s keys', () => {
  it('is of the category of keyrings, with any name of the origin', () => {
    for (const origin of ['core-1', 'a-b-c', 'x']) {
      expect(categoryOf(keyringStream(origin))).toBe('keyring');
      expect(isCategory(categoryOf(keyringStream(origin)))).toBe(true);
    }
    expect(keyringStream('core-1')).not.toBe(keyringStream('core-2'));
  });
});
