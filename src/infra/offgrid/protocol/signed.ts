import type { KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { isSignature, signatureOf } from '../../crypto/signing.js';
import { byteString, malformed, type Field } from './members.js';
import { ProtocolError } from './protocol-error.js';
import { decodeStrict } from './strict-cbor.js';
import type { VerifyKey } from './verify-key.js';

/** The kinds of signed things: the origin signs claims and trees, a host signs heads. */
export type SignedKind = 'claim' | 'tree' | 'head';

/** The maximum size of the content of each kind, in bytes. */
export const MAX_CONTENT_BYTES: Readonly<Record<SignedKind, number>> = { claim: 1024, tree: 1024, head: 4096 };
const SIGNATURE_BYTES = 64;

/**
 * A signed thing as received, not verified. On the wire and in a store it is the array of two byte strings
 * `[content, signature]`. The signature is Ed25519 (RFC 8032) over `sheratan/2 <kind>\n` and the content.
 */
export interface SignedThing<Kind extends SignedKind = SignedKind> {
  readonly kind: Kind;
  /** DAG-CBOR of a map. It is stored and forwarded unchanged. */
  readonly content: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

const opened: unique symbol = Symbol('opened');

/** A signed thing with its decoded content. */
export interface Statement<Kind extends SignedKind, Value> {
  readonly signed: SignedThing<Kind>;
  readonly value: Value;
}

/** A statement whose signature was verified. Only `open` creates one. */
export interface Opened<Kind extends SignedKind, Value> extends Statement<Kind, Value> {
  readonly [opened]: true;
}

/** The encoder and decoder of a kind's content. */
export interface Format<Kind extends SignedKind, Value> {
  readonly kind: Kind;
  readonly encode: (value: Value) => Uint8Array;
  /** @throws ProtocolError MALFORMED */
  readonly decode: (content: Uint8Array) => Value;
}

/** Signs a value. @throws ProtocolError when readers would refuse the value */
export function sign<Kind extends SignedKind, Value>(
  format: Format<Kind, Value>,
  value: Value,
  privateKey: KeyObject,
): SignedThing<Kind> {
  const { kind } = format;
  const content = new Uint8Array(format.encode(value));
  checkSize(kind, content);
  format.decode(content);
  return { kind, content, signature: signatureOf(signedBytes(kind, content), privateKey) };
}

/**
 * Verifies a signed thing over the received bytes, as libsodium's crypto_sign_verify_detached does, and only then decodes
 * its content.
 * @throws ProtocolError TOO_LARGE, NOT_SIGNED or MALFORMED
 */
export function open<Kind extends SignedKind, Value>(
  format: Format<Kind, Value>,
  signed: SignedThing<Kind>,
  key: VerifyKey,
): Opened<Kind, Value> {
  const { kind } = format;
  const { content, signature } = signed;
  checkSize(kind, content);
  if (signature.byteLength !== SIGNATURE_BYTES) throw malformed(signature, `the signature of a ${kind}`, '64 bytes');
  if (!isSignature(signature, signedBytes(kind, content), key))
    throw new ProtocolError('NOT_SIGNED', `the signature of a ${kind} does not verify under the key`);
  return { [opened]: true, signed, value: format.decode(content) };
}

/** A signed thing within a body or an answer. */
export function signedThing<Kind extends SignedKind>(kind: Kind): Field<SignedThing<Kind>> {
  const contentField = byteString(1, MAX_CONTENT_BYTES[kind]);
  const signatureField = byteString(SIGNATURE_BYTES);
  return (value, where) => {
    if (!Array.isArray(value) || value.length !== 2) throw malformed(value, where, 'an array of content and signature');
    const pair: readonly unknown[] = value;
    const [content, signature] = pair;
    return {
      kind,
      content: contentField(content, `the content of ${where}`),
      signature: signatureField(signature, `the signature of ${where}`),
    };
  };
}

/** The array `[content, signature]`, to be encoded within a map. */
export function pairOf({ content, signature }: SignedThing): readonly [Uint8Array, Uint8Array] {
  return [content, signature];
}

/** The array `[content, signature]` in DAG-CBOR: the stored form of a signed thing, and the body of an answer with a head. */
export function encodeSigned(signed: SignedThing): Uint8Array {
  return encode(pairOf(signed));
}

/** A signed thing from its DAG-CBOR; it is not verified. @throws ProtocolError MALFORMED */
export function decodeSigned<Kind extends SignedKind>(kind: Kind, bytes: Uint8Array): SignedThing<Kind> {
  return signedThing(kind)(decodeStrict(bytes, `a signed ${kind}`), `a signed ${kind}`);
}

function signedBytes(kind: SignedKind, content: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`sheratan/2 ${kind}\n`), content]);
}

function checkSize(kind: SignedKind, { byteLength }: Uint8Array): void {
  const max = MAX_CONTENT_BYTES[kind];
  if (byteLength > max)
    throw new ProtocolError(
      'TOO_LARGE',
      `the content of a ${kind} has ${byteLength} bytes; at most ${max} are allowed`,
    );
}
