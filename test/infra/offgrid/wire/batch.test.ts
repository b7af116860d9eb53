import { isDeepStrictEqual } from 'node:util';
import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressOf } from '../../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import {
  decodeBatch,
  encodeBatch,
  isBatchSigned,
  MAX_BATCH_EVENTS,
  MAX_SEALED_BYTES,
  type AddressedEvent,
} from '../../../../src/infra/offgrid/wire/batch.js';
import { MAX_EPOCH } from '../../../../src/infra/offgrid/wire/claim.js';

const CORE = { origin: 'core', host: 'a host' };

const root = RootKey.generate();
const key = root.verifyKey;

const batchArbitrary = fc
  .record({
    epoch: fc.integer({ min: 1, max: MAX_EPOCH }),
    from: fc.integer({ min: 1, max: 2 ** 50 }),
    contents: fc.array(
      fc.record({
        etype: fc.integer({ min: 0, max: 65_535 }),
        ts: fc.integer({ min: -8.64e15, max: 8.64e15 }),
        sealed: fc.uint8Array({ minLength: 1, maxLength: 100 }),
      }),
      { minLength: 1, maxLength: 20 },
    ),
  })
  .map(({ epoch, from, contents }) => ({
    epoch,
    events: contents.map((event, i): AddressedEvent => ({
      ...event,
      sequence: from + i,
      eid: addressOf(event.sealed),
    })),
  }));

describe('a batch', () => {
  it('comes out as it went in, and is signed for its origin alone', () => {
    fc.assert(
      fc.property(batchArbitrary, ({ epoch, events }) => {
        const decoded = decodeBatch(encodeBatch(root.signingKey, CORE, epoch, events))!;
        expect(decoded).toMatchObject({ epoch, from: events[0]!.sequence });
        expect(decoded.events).toEqual(events.map((event) => ({ ...event, sealed: new Uint8Array(event.sealed) })));
        expect(isBatchSigned(decoded, CORE, key)).toBe(true);
        expect(isBatchSigned(decoded, { ...CORE, origin: 'cores' }, key)).toBe(false);
        expect(isBatchSigned(decoded, { ...CORE, host: 'another' }, key)).toBe(false);
        expect(isBatchSigned(decoded, CORE, RootKey.generate().verifyKey)).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('of which a bit was changed is none, or not signed', () => {
    fc.assert(
      fc.property(batchArbitrary, fc.nat(), ({ epoch, events }, at) => {
        const body = encodeBatch(root.signingKey, CORE, epoch, events).slice();
        const bit = at % (body.byteLength * 8);
        body[bit >> 3] = body[bit >> 3]! ^ (1 << (bit & 7));
        const decoded = decodeBatch(body);
        if (decoded === undefined) return;
        const whole = decodeBatch(encodeBatch(root.signingKey, CORE, epoch, events))!;
        // The last digit of a signature in base64 has bits that say nothing.
        const isSame = isDeepStrictEqual(withBytes(decoded), withBytes(whole));
        expect(isBatchSigned(decoded, CORE, key)).toBe(isSame);
      }),
      { numRuns: 200 },
    );
  });

  it('has bounds', () => {
    const event = { etype: 1, ts: 1, sealed: new Uint8Array(1) };
    const batch = { epoch: 1, from: 1, events: [event], signature: '' };
    const sized = (bytes: number) => ({ ...batch, events: [{ ...event, sealed: new Uint8Array(bytes) }] });
    const counted = (count: number) => ({ ...batch, events: Array.from({ length: count }, () => event) });
    const isOne = (value: unknown) => decodeBatch(encode(value)) !== undefined;
    expect([sized(1), sized(MAX_SEALED_BYTES), counted(MAX_BATCH_EVENTS)].map(isOne)).toEqual([true, true, true]);
    expect([sized(0), sized(MAX_SEALED_BYTES + 1), counted(0), counted(MAX_BATCH_EVENTS + 1)].map(isOne)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  it('is not what noise is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(decodeBatch(noise)).toBeUndefined();
      }),
    );
  });
});

function withBytes(batch: NonNullable<ReturnType<typeof decodeBatch>>) {
  return { ...batch, signature: Buffer.from(batch.signature, 'base64') };
}
