import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signClaim, openClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import {
  decodeSigned,
  encodeSigned,
  MAX_CONTENT_BYTES,
  open,
  pairOf,
  sign,
  type Format,
  type SignedKind,
  type SignedThing,
} from '../../../../src/infra/offgrid/protocol/signed.js';
import { encode } from '@ipld/dag-cbor';
import { openTree, signTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  claims,
  codeOf,
  flipped,
  messageOf,
  newKeys,
  signContent,
  trees,
} from '../../../support/offgrid/protocol-2.js';

const { privateKey, verifyKey } = newKeys();

/** A format with arbitrary bytes as content, which counts how often content is decoded. */
function rawFormat<Kind extends SignedKind>(kind: Kind) {
  const counts = { decoded: 0 };
  const format: Format<Kind, Uint8Array> = {
    kind,
    encode: (value) => value,
    decode: (content) => {
      counts.decoded += 1;
      return content;
    },
  };
  return { format, counts };
}

describe('a signed thing', () => {
  it('is kept as received: content and signature are the same bytes after opening, storing and forwarding', () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const signed = signTree(tree, privateKey);
        const stored = encodeSigned(signed);
        const again = decodeSigned('tree', stored);
        expect(openTree(again, verifyKey).value).toEqual(tree);
        expect(openTree(again, verifyKey).signed).toBe(again);
        expect(encodeSigned(again)).toEqual(stored);
      }),
    );
  });

  it('with a bit changed in content or signature is refused, before anything is decoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), fc.nat(), (content, at, other) => {
        const { format, counts } = rawFormat('head');
        const signed = sign(format, content, privateKey);
        counts.decoded = 0;
        const changes = [
          { ...signed, content: flipped(content, at) },
          { ...signed, signature: flipped(signed.signature, other) },
        ];
        for (const changed of changes) expect(codeOf(() => open(format, changed, verifyKey))).toBe('NOT_SIGNED');
        expect(counts.decoded).toBe(0);
        expect(open(format, signed, verifyKey).value).toEqual(content);
      }),
    );
  });

  it('opens under the key that signed it, and no other', () => {
    fc.assert(
      fc.property(claims, (claim) => {
        const signed = signClaim(claim, privateKey);
        expect(openClaim(signed, verifyKey).value).toEqual(claim);
        expect(codeOf(() => openClaim(signed, newKeys().verifyKey))).toBe('NOT_SIGNED');
      }),
      { numRuns: 20 },
    );
  });

  it('of one kind is not valid as another, regardless of its content', () => {
    const kinds = ['claim', 'tree', 'head'] as const;
    const content = Buffer.from('the same');
    for (const kind of kinds) {
      const { signature } = signContent(kind, content, privateKey);
      for (const other of kinds) {
        const opened = codeOf(() => open(rawFormat(other).format, { kind: other, content, signature }, verifyKey));
        expect(opened === 'NOT_SIGNED').toBe(kind !== other);
      }
    }
  });

  it.each(['claim', 'tree', 'head'] as const)('has a limit for the content of a %s', (kind) => {
    const max = MAX_CONTENT_BYTES[kind];
    const { format } = rawFormat(kind);
    const [largest, larger] = [new Uint8Array(max), new Uint8Array(max + 1)];
    expect(open(format, sign(format, largest, privateKey), verifyKey).value).toEqual(largest);
    expect(decodeSigned(kind, encodeSigned(signContent(kind, largest, privateKey))).content).toEqual(largest);

    expect(codeOf(() => sign(format, larger, privateKey))).toBe('TOO_LARGE');
    const tooLarge = signContent(kind, larger, privateKey);
    expect(codeOf(() => open(format, tooLarge, verifyKey))).toBe('TOO_LARGE');
    expect(messageOf(() => decodeSigned(kind, encodeSigned(tooLarge)))).toContain(`1 to ${max} bytes`);
  });

  it('is an array of two byte strings, the second of 64 bytes, and nothing else', () => {
    const signed = signContent('claim', Buffer.from('content'), privateKey);
    const [content, signature] = pairOf(signed);
    const others = [
      [content],
      [content, signature, signature],
      [signature.subarray(1), signature.subarray(1)],
      [content, Buffer.concat([signature, Buffer.alloc(1)])],
      [new Uint8Array(), signature],
      [content, signature.toString()],
      ['content', signature],
      [null, null],
      { content, signature },
      null,
      content,
    ];
    for (const other of others) expect(codeOf(() => decodeSigned('claim', encode(other)))).toBe('MALFORMED');
    const cut: SignedThing<'claim'> = { ...signed, signature: signature.subarray(1) };
    expect(codeOf(() => openClaim(cut, verifyKey))).toBe('MALFORMED');
  });

  it('is never signed when readers would refuse it', () => {
    const { format } = rawFormat('tree');
    const strict = {
      ...format,
      decode: () => {
        throw new TypeError('refused');
      },
    };
    expect(() => sign(strict, new Uint8Array(1), privateKey)).toThrow('refused');
  });

  it('whose signature is another encoding of the same signature is refused', () => {
    const L = 2n ** 252n + 27742317777372353535851937790883648493n;
    const signed = signContent('claim', Buffer.from('content'), privateKey);
    const s = BigInt(`0x${Buffer.from(signed.signature.subarray(32)).reverse().toString('hex')}`) + L;
    const other = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
    const signature = Buffer.concat([signed.signature.subarray(0, 32), other]);
    expect(codeOf(() => open(rawFormat('claim').format, { ...signed, signature }, verifyKey))).toBe('NOT_SIGNED');
  });
});
