import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { sha256 } from '../../../src/infra/crypto/sha256.js';
import {
  ANSWER_HEADER,
  answerSignature,
  hostKeyOf,
  NONCE_HEADER,
} from '../../../src/infra/offgrid/protocol/authentication.js';
import { decodeBatch } from '../../../src/infra/offgrid/protocol/batch.js';
import { decodeClaimBody } from '../../../src/infra/offgrid/protocol/claim-body.js';
import { decodeHeadAnswer, openHead, signHead, type Head } from '../../../src/infra/offgrid/protocol/head.js';
import { encodeRefusal, REFUSAL_STATUS, type Refusal } from '../../../src/infra/offgrid/protocol/refusal.js';
import { encodeSigned, type SignedThing } from '../../../src/infra/offgrid/protocol/signed.js';
import { encodeStoredEvent, decodeStoredEvents } from '../../../src/infra/offgrid/protocol/events-answer.js';
import { encodeEntries, encodeRoots } from '../../../src/infra/offgrid/protocol/answers.js';
import { decodeStrict } from '../../../src/infra/offgrid/protocol/strict-cbor.js';
import { signTree, type Tree } from '../../../src/infra/offgrid/protocol/tree.js';
import { verifyKey } from '../../../src/infra/offgrid/protocol/verify-key.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { Front, type Exchange, type Reply } from './front.js';
import { AUTH_KEY } from './host.js';
import { ORIGIN } from './by-hand.js';

const UNKNOWN_KEY = generateKeyPairSync('ed25519').privateKey;
const NO_ROOT = new Uint8Array(32).fill(0xab);
const INVENTED: Tree = {
  ...{ ts: 1, base: 0, line: 1, root: NO_ROOT, begun: NO_ROOT, epoch: 2 ** 48, origin: ORIGIN },
  ...{ quorum: 1, writer: 'liar00:12345678', sequence: 1_000_000, quorumRoot: NO_ROOT },
};

/** A false answer to a request. Undefined: the answer of the honest host behind it. */
type Lie = (host: LyingHost, request: Exchange, pass: () => Promise<Reply>) => Promise<Reply | undefined>;

/** A false head: the given fields are changed, and the host signs it. */
function head(change: (host: LyingHost, head: Head, request: Exchange) => Partial<Head> | undefined): Lie {
  return async (host, request, pass) => {
    const reply = await pass();
    const original = host.headOf(reply);
    const changed = original && change(host, original, request);
    return changed === undefined || original === undefined ? reply : host.signs(request, { ...original, ...changed });
  };
}

const isComplete = ({ content }: SignedThing<'tree'>) => {
  const members = decodeStrict(content, 'a tree') as Map<string, number>;
  return members.get('sequence')! >= members.get('base')!;
};
/** The request that a head must name. */
const overOf = ({ body, path }: Exchange) => {
  const [, challenge] = /challenge=([0-9a-f]{64})/.exec(path) ?? [];
  return { request: challenge === undefined ? sha256(body) : Buffer.from(challenge, 'hex') };
};
const isBatch = ({ method, path }: Exchange) => method === 'POST' && path.endsWith('/events');
const isClaim = ({ method, path }: Exchange) => method === 'POST' && path.endsWith('/claim');
const isAsked = ({ path }: Exchange, name: string) => path.includes(`/${name}?`);

/** Lets the caller wait for longer than any client does. */
async function stall(host: LyingHost): Promise<undefined> {
  await delay(600_000, undefined, { ref: false, signal: host.ending }).catch(() => undefined);
  return undefined;
}

/** False answers of a host of protocol 2, by name. The host has only its own signing key and its own HMAC key. */
export const LIES = {
  /** A tree of an enormous epoch, which the origin has not signed. */
  inventedTree: head(() => ({ tree: signTree(INVENTED, UNKNOWN_KEY) })),
  /** A staged tree, which the origin has not signed. */
  inventedStaged: head(() => ({ staged: signTree(INVENTED, UNKNOWN_KEY) })),
  /** No tree, in answer to a batch. */
  forgetful: head((_host, _head, request) => (isBatch(request) ? { tree: null, staged: null } : undefined)),
  /** No granted claim, in answer to a claim. */
  unclaimed: head((_host, _head, request) => (isClaim(request) ? { claim: null } : undefined)),
  /** The first complete tree that it ever received, in answer to a request for its head. */
  oldTree: head((host, _head, request) =>
    isAsked(request, 'head') ? { tree: host.trees.find(isComplete) ?? null } : undefined,
  ),
  /** Heads over another request. */
  replayedHead: head(() => ({ request: NO_ROOT })),
  /** Another key, pinned for the origin. */
  otherKey: head(() => ({ key: verifyKey(new Uint8Array(32).fill(7), 'a key') })),
  /** Heads that name another host. */
  otherHost: head(() => ({ host: '0'.repeat(32) })),
  /** FENCED, with the core's own claim as proof of a higher epoch. */
  fencedByEcho: async (host, request, pass) => {
    if (!isClaim(request)) return pass();
    const { claim } = decodeClaimBody(request.body);
    return host.refuses(request, { code: 'FENCED', claim, message: 'A higher epoch was granted.' });
  },
  /** BUSY, to every request. */
  busy: (host, request) =>
    Promise.resolve(host.refuses(request, { code: 'BUSY', wait: 300, message: 'Try again later.' })),
  /** FULL, to every batch. */
  full: async (host, request, pass) =>
    isBatch(request) ? host.refuses(request, { code: 'FULL', message: 'There is no room.' }) : pass(),
  /** TOO_LARGE, to batches of more than one event. */
  tooLarge: async (host, request, pass) => {
    const isLarge = isBatch(request) && decodeBatch(request.body).events.length > 1;
    const message = 'That is too large.';
    return isLarge ? host.refuses(request, { code: 'TOO_LARGE', message }) : pass();
  },
  /** BAD_REQUEST, to each batch with the fifth event. */
  picky: async (host, request, pass) => {
    const { from, events } = isBatch(request) ? decodeBatch(request.body) : { from: 0, events: [] };
    const isIn = from <= 5 && from + events.length > 5;
    return isIn ? host.refuses(request, { code: 'BAD_REQUEST', message: 'The event is not well-formed.' }) : pass();
  },
  /** INTERNAL, to every batch. */
  broken: async (host, request, pass) =>
    isBatch(request) ? host.refuses(request, { code: 'INTERNAL', message: 'The disk cannot be read.' }) : pass(),
  /** NOT_SIGNED, to every claim: another key is pinned. */
  pinned: async (host, request, pass) =>
    isClaim(request) ? host.refuses(request, { code: 'NOT_SIGNED', message: 'Another key is pinned.' }) : pass(),
  /** OTHER, to every batch, with wrong roots. */
  other: async (host, request, pass) => {
    if (isAsked(request, 'roots')) return host.answers(request, 200, encodeRoots({ head: NO_ROOT, staged: NO_ROOT }));
    return isBatch(request) ? host.refuses(request, { code: 'OTHER', message: 'The events do not match.' }) : pass();
  },
  /** A signature for each batch, although it keeps none. */
  hollow: async (host, request, pass) => {
    if (!isBatch(request)) {
      const reply = await pass();
      host.last = host.headOf(reply) ?? host.last;
      if (host.headOf(reply) === undefined) return reply;
    }
    const { last, trees } = host;
    return last && host.signs(request, { ...last, ...overOf(request), tree: trees.findLast(isComplete) ?? last.tree });
  },
  /** Answers with a wrong HMAC. */
  withoutHmac: async (_host, _request, pass) => {
    const reply = await pass();
    return { ...reply, headers: { ...reply.headers, [ANSWER_HEADER]: '00'.repeat(32) } };
  },
  /** Bytes that are not part of any protocol. */
  garbage: (host, request) => Promise.resolve(host.answers(request, 200, Buffer.from('not an answer'))),
  /** Events with changed content. */
  wrongContents: async (host, request, pass) => {
    const reply = await pass();
    if (!isAsked(request, 'events') || reply.status !== 200) return reply;
    const events = decodeStoredEvents(reply.body as Buffer).map((event) => ({
      ...event,
      sealed: event.sealed?.map((byte, i) => (i === 60 ? byte ^ 1 : byte)) ?? null,
    }));
    return host.answers(request, 200, Buffer.concat(events.map(encodeStoredEvent)));
  },
  /** Events without content, as if each were damaged. */
  withheld: async (host, request, pass) => {
    const reply = await pass();
    if (!isAsked(request, 'events') || reply.status !== 200) return reply;
    const events = decodeStoredEvents(reply.body as Buffer).map((event) => ({ ...event, sealed: null }));
    return host.answers(request, 200, Buffer.concat(events.map(encodeStoredEvent)));
  },
  /** Entries that are not those of its events. */
  wrongEntries: async (host, request, pass) =>
    isAsked(request, 'entries')
      ? host.answers(request, 200, encodeEntries([new Uint8Array(42).fill(1), new Uint8Array(42).fill(2)]))
      : pass(),
  /** No answer for longer than any client waits, except about its identity. */
  stalled: (host, request, pass) => (request.path === '/pubkeys' ? pass() : stall(host)),
  /** No answer to requests for entries. */
  stalledEntries: (host, request, pass) => (isAsked(request, 'entries') ? stall(host) : pass()),
  /** No answer to requests for events. */
  stalledEvents: (host, request, pass) => (isAsked(request, 'events') ? stall(host) : pass()),
} satisfies Readonly<Record<string, Lie>>;

export type LieName = keyof typeof LIES;

/** A dishonest host over real sockets. It is a proxy in front of an honest one, and has its keys. */
export class LyingHost {
  readonly url: string;
  readonly id: string;
  /** The trees that it was sent, in order: it may show any of them. */
  readonly trees: SignedThing<'tree'>[] = [];
  readonly ending: AbortSignal;
  lie: LieName | undefined;
  /** Batches are answered once this resolves. */
  hold: Promise<void> = Promise.resolve();
  isHeld = false;
  /** The last head that it answered with. */
  last: Head | undefined;
  readonly #host: RunningHost;

  private constructor(front: Front, host: RunningHost, lie: LieName | undefined) {
    this.url = front.url;
    this.id = host.identity.id;
    this.#host = host;
    this.lie = lie;
    this.ending = new AbortController().signal;
    front.handler = (request, pass) => this.#handle(request, () => pass(request));
  }

  static async of(host: RunningHost, lie?: LieName): Promise<LyingHost> {
    return new LyingHost(await Front.of(host.url), host, lie);
  }

  /** The head in an answer; undefined if the answer is not a head. */
  headOf({ status, body }: Reply): Head | undefined {
    if (status !== 200) return undefined;
    try {
      const key = verifyKey(Buffer.from(this.#host.identity.verifyKey, 'base64'), 'the key of the host');
      return openHead(decodeHeadAnswer(body as Buffer), key).value;
    } catch {
      return undefined;
    }
  }

  /** A head, signed with the key of the host. */
  signs(request: Exchange, reply: Head): Reply {
    return this.answers(request, 200, encodeSigned(signHead(reply, this.#host.identity.signingKey)));
  }

  refuses(request: Exchange, refusal: Refusal): Reply {
    return this.answers(request, REFUSAL_STATUS[refusal.code], encodeRefusal(refusal));
  }

  /** An answer with its HMAC. */
  answers({ headers }: Exchange, status: number, body: Uint8Array): Reply {
    const lines = { host: this.id, nonce: headers[NONCE_HEADER] ?? '', status, body };
    const signature = answerSignature(hostKeyOf(AUTH_KEY, this.id), lines);
    const type = { 'content-type': 'application/cbor', [ANSWER_HEADER]: signature };
    return { status, headers: type, body: Buffer.from(body) };
  }

  async #handle(request: Exchange, pass: () => Promise<Reply>): Promise<Reply> {
    if (isBatch(request)) {
      this.trees.push(decodeBatch(request.body).tree);
      this.isHeld = true;
      await this.hold;
      this.isHeld = false;
    }
    const lie: Lie | undefined = this.lie && LIES[this.lie];
    return (await lie?.(this, request, pass)) ?? pass();
  }
}
