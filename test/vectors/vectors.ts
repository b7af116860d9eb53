import { readFileSync } from 'node:fs';

/** Text of bytes in hexadecimal. */
type Hex = string;

export type KeyVectors = {
  readonly root: Hex;
  readonly rootKeyId: Hex;
  readonly signingSeed: Hex;
  readonly verifyKey: Hex;
  readonly wrappingKey: Hex;
  readonly dataKeys: readonly {
    readonly keyEpoch: number;
    readonly key: Hex;
    readonly id: Hex;
    readonly encrypt: Hex;
    readonly nonce: Hex;
  }[];
  readonly wrapped: readonly {
    readonly origin: string;
    readonly keyEpoch: number;
    readonly keyId: Hex;
    readonly aad: Hex;
    readonly wrappedKey: string;
  }[];
  readonly recovery: readonly { readonly root: Hex; readonly text: string }[];
};

export type EnvelopeVector = {
  readonly name: string;
  readonly keyEpoch: number;
  readonly origin: string;
  readonly sequence: number;
  readonly etype: number;
  readonly at: number;
  readonly text: string;
  readonly aad: Hex;
  readonly padded: Hex;
  readonly nonce: Hex;
  readonly envelope: Hex;
  readonly eid: Hex;
};

export type RootVectors = { readonly roots: readonly { readonly size: number; readonly root: Hex }[] };

export type EpochVectors = {
  readonly epochs: readonly { readonly keyEpoch: number; readonly sequence: number }[];
  readonly events: readonly { readonly sequence: number; readonly type: string; readonly keyEpoch: number }[];
};

/** Where the vectors are. */
export const FOLDER = import.meta.dirname;

const read = (name: string): unknown => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));

export const keyVectors = read('keys') as KeyVectors;
export const envelopeVectors = read('envelopes') as readonly EnvelopeVector[];
export const rootVectors = read('roots') as RootVectors;
export const epochVectors = read('epochs') as EpochVectors;

export const bytesOf = (hex: Hex): Uint8Array => Buffer.from(hex, 'hex');
