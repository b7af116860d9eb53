import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MerkleFrontier } from '../../../../src/domain/merkle.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import {
  decodeEntry,
  encodeEntry,
  ENTRY_BYTES,
  entryOf,
  leafHash,
} from '../../../../src/infra/offgrid/protocol/entry.js';
import { codeOf, flipped, hashes, messageOf, sealedEvents } from '../../../support/offgrid/protocol-2.js';

const entries = fc.record(
  { etype: fc.integer({ min: 10, max: 65_535 }), ts: fc.integer({ min: -8.64e15, max: 8.64e15 }), eid: hashes },
  { noNullPrototype: true },
);
const eid = new Uint8Array(32);

describe('an entry', () => {
  it('is decoded from its 42 bytes unchanged, wherever they are in a buffer', () => {
    fc.assert(
      fc.property(entries, fc.nat({ max: 9 }), (entry, at) => {
        const bytes = encodeEntry(entry);
        expect(bytes.byteLength).toBe(ENTRY_BYTES);
        const within = new Uint8Array(ENTRY_BYTES + 20);
        within.set(bytes, at);
        expect(decodeEntry(within.subarray(at, at + ENTRY_BYTES))).toEqual(entry);
      }),
    );
  });

  it('is the etype, the time in two’s complement, and the eid', () => {
    const hex = (etype: number, ts: number) => Buffer.from(encodeEntry({ etype, ts, eid })).toString('hex', 0, 10);
    expect(hex(10, 0)).toBe('000a0000000000000000');
    expect(hex(65_535, 1)).toBe('ffff0000000000000001');
    expect(hex(258, -1)).toBe('0102ffffffffffffffff');
    expect(hex(10, 8.64e15)).toBe('000a001eb208c2dc0000');
    expect(hex(10, -8.64e15)).toBe('000affe14df73d240000');
  });

  it('has limits when it is encoded and when it is decoded', () => {
    const inside = [
      { etype: 10, ts: -8.64e15, eid },
      { etype: 65_535, ts: 8.64e15, eid },
    ];
    for (const entry of inside) expect(decodeEntry(encodeEntry(entry))).toEqual(entry);
    const outside = [
      { etype: 9, ts: 0, eid },
      { etype: 65_536, ts: 0, eid },
      { etype: 10.5, ts: 0, eid },
      { etype: 10, ts: 8.64e15 + 1, eid },
      { etype: 10, ts: -8.64e15 - 1, eid },
      { etype: 10, ts: Number.NaN, eid },
      { etype: 10, ts: 0, eid: eid.subarray(1) },
      { etype: 10, ts: 0, eid: new Uint8Array(33) },
    ];
    for (const entry of outside) expect(codeOf(() => encodeEntry(entry))).toBe('MALFORMED');
    const raw = (hex: string) => Buffer.from(hex + '00'.repeat(32), 'hex');
    expect(messageOf(() => decodeEntry(raw('00090000000000000000')))).toContain('entry.etype is 9');
    for (const hex of ['000a001eb208c2dc0001', '000affe14df73d23ffff', '000a7fffffffffffffff', '000a8000000000000000'])
      expect(messageOf(() => decodeEntry(raw(hex)))).toContain('entry.ts');
    for (const bytes of [new Uint8Array(0), new Uint8Array(41), new Uint8Array(43)]) {
      expect(codeOf(() => decodeEntry(bytes))).toBe('MALFORMED');
      expect(codeOf(() => leafHash(bytes))).toBe('MALFORMED');
    }
  });

  it('of an event has the SHA-256 of its envelope', () => {
    fc.assert(
      fc.property(sealedEvents, ({ ts, etype, sealed }) => {
        const address = createHash('sha256').update(sealed).digest();
        expect(entryOf({ ts, etype, sealed })).toEqual({ ts, etype, eid: address });
      }),
    );
  });

  it('is a leaf of the tree unchanged, and every bit of it changes the leaf hash', () => {
    fc.assert(
      fc.property(entries, fc.nat(), (entry, at) => {
        const bytes = encodeEntry(entry);
        const frontier = new MerkleFrontier(sha256);
        frontier.append(bytes);
        expect(frontier.root()).toEqual(leafHash(bytes));
        expect(leafHash(flipped(bytes, at))).not.toEqual(leafHash(bytes));
      }),
    );
  });
});
