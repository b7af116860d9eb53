import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import {
  decodeRefusal,
  encodeRefusal,
  MAX_MESSAGE_CHARACTERS,
  MAX_WAIT_SECONDS,
  printable,
  REFUSAL_STATUS,
  type Refusal,
} from '../../../../src/infra/offgrid/protocol/refusal.js';
import { signTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  claims,
  codeOf,
  counted,
  countLimits,
  messageOf,
  newKeys,
  trees,
} from '../../../support/offgrid/protocol-2.js';

const { privateKey } = newKeys();
const message = fc.string({ unit: 'grapheme', maxLength: 60 });
const plain = [
  ...(['BAD_REQUEST', 'UNAUTHENTICATED', 'NOT_SIGNED', 'NOT_FOUND', 'NOT_CLAIMED', 'OTHER'] as const),
  ...(['TOO_LARGE', 'DAMAGED', 'INTERNAL', 'FULL'] as const),
];
const withTree = ['FORKED', 'OLDER', 'COMMITTED'] as const;
const refusals: fc.Arbitrary<Refusal> = fc.oneof(
  fc.record({ code: fc.constantFrom(...plain), message }, { noNullPrototype: true }),
  fc.record(
    { code: fc.constantFrom(...withTree), message, tree: trees.map((tree) => signTree(tree, privateKey)) },
    { noNullPrototype: true },
  ),
  fc.record(
    { code: fc.constant('FENCED' as const), message, claim: claims.map((claim) => signClaim(claim, privateKey)) },
    { noNullPrototype: true },
  ),
  fc.record({ code: fc.constant('GAP' as const), message, sequence: counted }, { noNullPrototype: true }),
  fc.record(
    { code: fc.constant('BUSY' as const), message, wait: fc.integer({ min: 0, max: 300 }) },
    { noNullPrototype: true },
  ),
);

describe('a refusal', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(refusals, (refusal) => {
        expect(decodeRefusal(encodeRefusal(refusal))).toEqual(refusal);
      }),
    );
  });

  it('has a status for each code', () => {
    expect(REFUSAL_STATUS).toMatchObject({ BAD_REQUEST: 400, UNAUTHENTICATED: 401, NOT_SIGNED: 403, FENCED: 403 });
    expect(REFUSAL_STATUS).toMatchObject({ NOT_FOUND: 404, TOO_LARGE: 413, DAMAGED: 500, INTERNAL: 500 });
    expect(REFUSAL_STATUS).toMatchObject({ BUSY: 503, FULL: 507 });
    const conflicts = Object.entries(REFUSAL_STATUS).flatMap(([code, status]) => (status === 409 ? [code] : []));
    expect(conflicts.sort()).toEqual(['COMMITTED', 'FORKED', 'GAP', 'NOT_CLAIMED', 'OLDER', 'OTHER']);
    expect(Object.keys(REFUSAL_STATUS)).toHaveLength(16);
  });

  it('has the members that belong to its code', () => {
    for (const [code, name] of [
      ['FENCED', 'claim'],
      ['GAP', 'sequence'],
      ['BUSY', 'wait'],
      ...withTree.map((each) => [each, 'tree'] as const),
    ] as const) {
      expect(messageOf(() => decodeRefusal(encode({ code, message: '' })))).toContain(`refusal.${name} is missing`);
      expect(messageOf(() => decodeRefusal(encode({ code, message: '', [name]: null })))).toContain(`${name} is null`);
    }
    const pair = (bytes: number) => [new Uint8Array(bytes), new Uint8Array(64)];
    expect(codeOf(() => decodeRefusal(encode({ code: 'FENCED', message: '', claim: pair(1025) })))).toBe('MALFORMED');
    expect(codeOf(() => decodeRefusal(encode({ code: 'OLDER', message: '', tree: pair(1025) })))).toBe('MALFORMED');
    for (const sequence of countLimits.outside)
      expect(codeOf(() => decodeRefusal(encode({ code: 'GAP', message: '', sequence })))).toBe('MALFORMED');
    expect(decodeRefusal(encode({ code: 'FULL', message: '', tree: 1, later: 2 }))).toEqual({
      code: 'FULL',
      message: '',
    });
  });

  it('has a code that is known', () => {
    for (const code of ['', 'full', 'TEAPOT', '__proto__', 'toString', null, 1])
      expect(messageOf(() => decodeRefusal(encode({ code, message: '' })))).toContain('refusal.code is');
    expect(codeOf(() => decodeRefusal(encode({ message: '' })))).toBe('MALFORMED');
  });

  it('has a message of at most 300 characters; a longer one is cut', () => {
    const decode = (text: unknown) => decodeRefusal(encode({ code: 'FULL', message: text })).message;
    for (const unit of ['x', 'ä', '😀']) {
      expect(decode(unit.repeat(MAX_MESSAGE_CHARACTERS))).toBe(unit.repeat(300));
      expect(messageOf(() => decode(unit.repeat(MAX_MESSAGE_CHARACTERS + 1)))).toContain('at most 300 characters');
      const cut = decodeRefusal(encodeRefusal({ code: 'FULL', message: unit.repeat(1000) }));
      expect(cut.message).toBe(unit.repeat(300));
    }
    for (const text of [null, 1, new Uint8Array(1)])
      expect(messageOf(() => decode(text))).toContain('refusal.message is');
  });

  it('asks for a wait of at most 300 s', () => {
    const decode = (wait: unknown) => decodeRefusal(encode({ code: 'BUSY', message: '', wait }));
    for (const wait of [0, 1, MAX_WAIT_SECONDS]) expect(decode(wait)).toMatchObject({ wait });
    expect(decode(301)).toMatchObject({ wait: 300 });
    for (const wait of [-1, 2n ** 53n, '3', null]) expect(messageOf(() => decode(wait))).toContain('refusal.wait is');
    const sent = (wait: number) => decodeRefusal(encodeRefusal({ code: 'BUSY', message: '', wait }));
    expect([0.2, 1000, -3].map((wait) => sent(wait))).toMatchObject([{ wait: 1 }, { wait: 300 }, { wait: 0 }]);
  });

  it('has at most 16 KiB', () => {
    const sized = (bytes: number) => encode({ code: 'FULL', message: '', later: new Uint8Array(bytes) });
    const overhead = sized(10_000).byteLength - 10_000;
    expect(decodeRefusal(sized(16 * 1024 - overhead))).toEqual({ code: 'FULL', message: '' });
    expect(codeOf(() => decodeRefusal(sized(16 * 1024 - overhead + 1)))).toBe('TOO_LARGE');
  });
});

describe('a text that is printed', () => {
  it('has no C0, no DEL, no C1 and no bidi controls', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const kept = Array.from(text).filter((character) => {
          const code = character.codePointAt(0)!;
          const isControl = code < 0x20 || (code >= 0x7f && code <= 0x9f);
          const isBidi = [0x061c, 0x200e, 0x200f].includes(code) || (code >= 0x202a && code <= 0x202e);
          return !isControl && !isBidi && !(code >= 0x2066 && code <= 0x2069);
        });
        expect(printable(text)).toBe(kept.join(''));
      }),
    );
    const controls = '\u0000\n\r\t\u001b[31m\u007f\u0085\u009b\u061c\u200e\u200f\u202a\u202e\u2066\u2069';
    expect(printable(`a${controls}b é😀`)).toBe('a[31mb é😀');
  });
});
