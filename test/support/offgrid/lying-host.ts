import { generateKeyPairSync } from 'node:crypto';
import { Readable } from 'node:stream';
import { encode } from '@ipld/dag-cbor';
import { fingerprintOf, publicKeyText } from '../../../src/infra/crypto/signing.js';
import type { Identity } from '../../../src/infra/offgrid/host/identity.js';
import type { ReturnedEvent } from '../../../src/infra/offgrid/replicator/host-port.js';
import { decodeCborSequence } from '../../../src/infra/offgrid/wire/cbor.js';
import { signedHeadSchema, signHead, type SignedHead } from '../../../src/infra/offgrid/wire/head.js';
import type { Handler, Told } from './front.js';

const OTHER = generateKeyPairSync('ed25519');
const OTHER_KEY = publicKeyText(OTHER.publicKey);
/** A root over nothing in particular. */
const NO_ROOT = 'ab'.repeat(32);
/** What an endless answer comes in, in bytes. */
const CHUNK = Buffer.alloc(64 * 1024, 0x61);

/** What a host says in place of the truth. It has the key of the host it stands in front of. */
export type Liar = (identity: Identity) => Handler;

/** A host that changes heads. */
function aboutHeads(change: (head: SignedHead, identity: Identity, path: string) => SignedHead): Liar {
  return (identity) => async (request, pass) => {
    const told = await pass(request);
    const head = headOf(told);
    return head === undefined ? told : { ...told, body: json(change(head, identity, request.path)) };
  };
}

type LieName =
  | 'wrongBytes'
  | 'wrongOrder'
  | 'wrongRoot'
  | 'tooMuch'
  | 'hollow'
  | 'forgedHead'
  | 'othersSignature'
  | 'oldHead'
  | 'wentBack'
  | 'otherOrigin'
  | 'otherIdentity'
  | 'garbage'
  | 'endless';

/** What a host can say that is not so, by what it is. */
export const LIES: Readonly<Record<LieName, Liar>> = {
  /** An event as nobody sealed it. */
  wrongBytes: () => async (request, pass) => {
    const told = await pass(request);
    if (request.method !== 'GET' || !request.path.includes('/events?') || told.status !== 200) return told;
    return { ...told, body: Buffer.concat(eventsOf(told).map((event) => encode(flipped(event)))) };
  },
  /** Events in another order. */
  wrongOrder: () => async (request, pass) => {
    const told = await pass(request);
    if (request.method !== 'GET' || !request.path.includes('/events?') || told.status !== 200) return told;
    const events = eventsOf(told);
    const sealed = events.map((event) => event.sealed).reverse();
    return { ...told, body: Buffer.concat(events.map((event, i) => encode({ ...event, sealed: sealed[i] }))) };
  },
  /** A root that is not that of its events, signed with its key. */
  wrongRoot: aboutHeads((head, identity) => signed({ ...head, root: NO_ROOT }, identity)),
  /** More events than it has. */
  tooMuch: (identity) => (request, pass) => {
    const [, at] = /\/head\?at=(\d+)$/.exec(request.path) ?? [];
    if (at !== undefined) return Promise.resolve(answer({ sequence: Number(at), root: NO_ROOT }));
    const more = aboutHeads((head) => signed({ ...head, sequence: head.sequence + 3, root: NO_ROOT }, identity));
    return more(identity)(request, pass);
  },
  /** More events than it has, of which it takes no more and shows nothing. */
  hollow: (identity) => (request, pass) => {
    if (request.method === 'POST' && request.path.endsWith('/events'))
      return Promise.resolve({ ...answer({ error: { code: 'BUSY', message: 'Later' } }), status: 503 });
    return aboutHeads((head) => signed({ ...head, sequence: head.sequence + 3, root: NO_ROOT }, identity))(identity)(
      request,
      pass,
    );
  },
  /** A head that was changed after it was signed. */
  forgedHead: aboutHeads((head) => ({ ...head, ts: head.ts + 1 })),
  /** A head that somebody else signed. */
  othersSignature: aboutHeads((head) => signed(head, { signingKey: OTHER.privateKey })),
  /** The first head that it ever signed before, as it was. */
  oldHead: () => {
    let first: SignedHead | undefined;
    return aboutHeads((head) => (first ??= head))(NOBODY);
  },
  /** As many events as it had once, signed for anew. */
  wentBack: aboutHeads((head, identity) => signed({ ...head, sequence: 1, root: NO_ROOT }, identity)),
  /** Another origin's head. */
  otherOrigin: aboutHeads((head, identity) => signed({ ...head, origin: 'another' }, identity)),
  /** Another host at its address, whole and true to itself. */
  otherIdentity: () => async (request, pass) => {
    const told = await pass(request);
    if (request.path === '/pubkeys') return { ...told, body: json({ ed25519_verify_key: OTHER_KEY }) };
    const head = headOf(told);
    if (head === undefined) return told;
    const host = fingerprintOf(OTHER_KEY);
    return { ...told, body: json(signed({ ...head, host }, { signingKey: OTHER.privateKey })) };
  },
  /** What nobody can read. */
  garbage: () => () => Promise.resolve({ ...answer({}), body: CHUNK.subarray(0, 100) }),
  /** An answer that never ends. */
  endless: () => () => Promise.resolve({ ...answer({}), body: Readable.from(forEver()) }),
};

/** The identity of one whose key is not needed. */
const NOBODY: Identity = { id: '', signingKey: OTHER.privateKey, verifyKey: OTHER_KEY, exchangeKey: '' };

function headOf({ status, body }: Told): SignedHead | undefined {
  if (status !== 200 || body instanceof Readable) return undefined;
  try {
    return signedHeadSchema.safeParse(JSON.parse(body.toString())).data;
  } catch {
    return undefined;
  }
}

function signed({ signature: _, ...head }: SignedHead, { signingKey }: Pick<Identity, 'signingKey'>): SignedHead {
  return signHead(signingKey, head);
}

function eventsOf({ body }: Told): readonly ReturnedEvent[] {
  return body instanceof Readable ? [] : ([...decodeCborSequence(body)] as ReturnedEvent[]);
}

function flipped(event: ReturnedEvent): ReturnedEvent {
  const sealed = Uint8Array.from(event.sealed);
  const middle = sealed.byteLength >> 1;
  sealed[middle] = (sealed[middle] ?? 0) ^ 1;
  return { ...event, sealed };
}

function answer(value: object): Told {
  return { status: 200, headers: { 'content-type': 'application/json' }, body: json(value) };
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function* forEver(): Generator<Buffer> {
  for (;;) yield CHUNK;
}
