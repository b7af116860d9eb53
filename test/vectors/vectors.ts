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

/** A signed statement; the `\\n` at the end of its context is written as two characters. */
export type SignedVector = { readonly context: string; readonly content: Hex; readonly signature: Hex };

export type ProtocolVectors = {
  readonly originSeed: Hex;
  readonly originVerifyKey: Hex;
  readonly hostSeed: Hex;
  readonly hostVerifyKey: Hex;
  readonly fingerprint: string;
  readonly events: readonly {
    readonly sequence: number;
    readonly etype: number;
    readonly ts: number;
    readonly sealed: Hex;
    readonly eid: Hex;
    readonly entry: Hex;
    readonly leaf: Hex;
    readonly root: Hex;
  }[];
  readonly rootOfNothing: Hex;
  readonly claim: SignedVector;
  readonly tree: SignedVector;
  readonly treeNotElected: SignedVector;
  readonly head: SignedVector;
  readonly headOfNothing: SignedVector & { readonly challenge: Hex };
  readonly bodies: Readonly<Record<'claim' | 'emptyBatch' | 'batchOfOne' | 'mend' | 'head' | 'fenced' | 'busy', Hex>>;
  readonly hostKey: { readonly authKey: string; readonly text: string; readonly key: Hex };
  readonly requestHmac: {
    readonly method: string;
    readonly path: string;
    readonly date: string;
    readonly nonce: string;
    readonly text: string;
    readonly hmac: Hex;
  };
  readonly answerHmac: { readonly nonce: string; readonly status: number; readonly text: string; readonly hmac: Hex };
  readonly refused: readonly {
    readonly why: string;
    readonly map?: Hex;
    readonly key?: Hex;
    readonly tree?: SignedVector;
    readonly entry?: Hex;
    readonly leaf?: Hex;
  }[];
  readonly sizes: { readonly claim: number; readonly tree: number; readonly head: number };
};

/** The folder of the vectors. */
export const FOLDER = import.meta.dirname;

const read = (name: string): unknown => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));

export const keyVectors = read('keys') as KeyVectors;
export const envelopeVectors = read('envelopes') as readonly EnvelopeVector[];
export const rootVectors = read('roots') as RootVectors;
export const epochVectors = read('epochs') as EpochVectors;
export const protocolVectors = read('protocol-2') as ProtocolVectors;

export const bytesOf = (hex: Hex): Uint8Array => Buffer.from(hex, 'hex');
