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
import { Front, type Exchange, type Told } from './front.js';
import { AUTH_KEY } from './host.js';
import { ORIGIN } from './by-hand.js';

const STRANGER = generateKeyPairSync('ed25519').privateKey;
const NO_ROOT = new Uint8Array(32).fill(0xab);
const INVENTED: Tree = {
  ...{ ts: 1, base: 0, line: 1, root: NO_ROOT, begun: NO_ROOT, epoch: 2 ** 48, origin: ORIGIN },
  ...{ quorum: 1, writer: 'liar00:12345678', sequence: 1_000_000, quorumRoot: NO_ROOT },
};

/** What a host makes of an exchange. Undefined: what the host behind it says. */
type Lie = (liar: LyingHost, request: Exchange, pass: () => Promise<Told>) => Promise<Told | undefined>;

/** A lie about a head: what is changed of it. */
function head(change: (liar: LyingHost, head: Head, request: Exchange) => Partial<Head> | undefined): Lie {
  return async (liar, request, pass) => {
    const told = await pass();
    const whole = liar.headOf(told);
    const changed = whole && change(liar, whole, request);
    return changed === undefined || whole === undefined ? told : liar.tells(request, { ...whole, ...changed });
  };
}

const isWhole = ({ content }: SignedThing<'tree'>) => {
  const members = decodeStrict(content, 'a tree') as Map<string, number>;
  return members.get('sequence')! >= members.get('base')!;
};
/** What a head must name that answers a request. */
const overOf = ({ body, path }: Exchange) => {
  const [, challenge] = /challenge=([0-9a-f]{64})/.exec(path) ?? [];
  return { request: challenge === undefined ? sha256(body) : Buffer.from(challenge, 'hex') };
};
const isBatch = ({ method, path }: Exchange) => method === 'POST' && path.endsWith('/events');
const isClaim = ({ method, path }: Exchange) => method === 'POST' && path.endsWith('/claim');
const isAsked = ({ path }: Exchange, name: string) => path.includes(`/${name}?`);

/** Lets whoever asks wait for longer than anybody does. */
async function stall(liar: LyingHost): Promise<undefined> {
  await delay(600_000, undefined, { ref: false, signal: liar.ending }).catch(() => undefined);
  return undefined;
}

/** What a host of protocol 2 can say that is not so, by what it is. It has its own key, and the HMAC key of the host alone. */
export const LIES = {
  /** A tree of an enormous epoch, which nobody has signed for it. */
  inventedTree: head(() => ({ tree: signTree(INVENTED, STRANGER) })),
  /** A tree, staged, which nobody has signed for it. */
  inventedStaged: head(() => ({ staged: signTree(INVENTED, STRANGER) })),
  /** After a batch, no tree. */
  forgetful: head((_liar, _head, request) => (isBatch(request) ? { tree: null, staged: null } : undefined)),
  /** After a claim, that it has granted none. */
  unclaimed: head((_liar, _head, request) => (isClaim(request) ? { claim: null } : undefined)),
  /** When it is asked, the first complete tree that it ever got. */
  oldTree: head((liar, _head, request) =>
    isAsked(request, 'head') ? { tree: liar.trees.find(isWhole) ?? null } : undefined,
  ),
  /** Heads over what was asked once, and not now. */
  replayedHead: head(() => ({ request: NO_ROOT })),
  /** Another key, pinned for the origin. */
  otherKey: head(() => ({ key: verifyKey(new Uint8Array(32).fill(7), 'a key') })),
  /** Heads of another host. */
  otherHost: head(() => ({ host: '0'.repeat(32) })),
  /** That another was granted a higher epoch: with the claim itself, echoed. */
  fencedByEcho: async (liar, request, pass) => {
    if (!isClaim(request)) return pass();
    const { claim } = decodeClaimBody(request.body);
    return liar.refuses(request, { code: 'FENCED', claim, message: 'Another was granted it.' });
  },
  /** Nothing but that it is busy. */
  busy: (liar, request) =>
    Promise.resolve(liar.refuses(request, { code: 'BUSY', wait: 300, message: 'Come back later.' })),
  /** Nothing but that there is no room. */
  full: async (liar, request, pass) =>
    isBatch(request) ? liar.refuses(request, { code: 'FULL', message: 'There is no room.' }) : pass(),
  /** That batches of more than one event are too large. */
  tooLarge: async (liar, request, pass) => {
    const isLarge = isBatch(request) && decodeBatch(request.body).events.length > 1;
    const message = 'That is too large.';
    return isLarge ? liar.refuses(request, { code: 'TOO_LARGE', message }) : pass();
  },
  /** That one event, the fifth, is not well-formed. */
  picky: async (liar, request, pass) => {
    const { from, events } = isBatch(request) ? decodeBatch(request.body) : { from: 0, events: [] };
    const isIn = from <= 5 && from + events.length > 5;
    return isIn ? liar.refuses(request, { code: 'BAD_REQUEST', message: 'What is this?' }) : pass();
  },
  /** That it cannot read what it has. */
  broken: async (liar, request, pass) =>
    isBatch(request) ? liar.refuses(request, { code: 'INTERNAL', message: 'Something is broken.' }) : pass(),
  /** That it has another key for the origin. */
  pinned: async (liar, request, pass) =>
    isClaim(request) ? liar.refuses(request, { code: 'NOT_SIGNED', message: 'Another has it.' }) : pass(),
  /** That it has others of the first events, whatever it is sent. */
  other: async (liar, request, pass) => {
    if (isAsked(request, 'roots')) return liar.answers(request, 200, encodeRoots({ head: NO_ROOT, staged: NO_ROOT }));
    return isBatch(request) ? liar.refuses(request, { code: 'OTHER', message: 'Mine are others.' }) : pass();
  },
  /** Signs for each batch, and keeps nothing. */
  hollow: async (liar, request, pass) => {
    if (!isBatch(request)) {
      const told = await pass();
      liar.last = liar.headOf(told) ?? liar.last;
      if (liar.headOf(told) === undefined) return told;
    }
    const { last, trees } = liar;
    return last && liar.tells(request, { ...last, ...overOf(request), tree: trees.findLast(isWhole) ?? last.tree });
  },
  /** Answers that its HMAC key was not used for. */
  withoutHmac: async (_liar, _request, pass) => {
    const told = await pass();
    return { ...told, headers: { ...told.headers, [ANSWER_HEADER]: '00'.repeat(32) } };
  },
  /** What no protocol has. */
  garbage: (liar, request) => Promise.resolve(liar.answers(request, 200, Buffer.from('an ox, and an ass'))),
  /** Each event as nobody has sealed it. */
  wrongContents: async (liar, request, pass) => {
    const told = await pass();
    if (!isAsked(request, 'events') || told.status !== 200) return told;
    const events = decodeStoredEvents(told.body as Buffer).map((event) => ({
      ...event,
      sealed: event.sealed?.map((byte, i) => (i === 60 ? byte ^ 1 : byte)) ?? null,
    }));
    return liar.answers(request, 200, Buffer.concat(events.map(encodeStoredEvent)));
  },
  /** No event: each is damaged, it says. */
  withheld: async (liar, request, pass) => {
    const told = await pass();
    if (!isAsked(request, 'events') || told.status !== 200) return told;
    const events = decodeStoredEvents(told.body as Buffer).map((event) => ({ ...event, sealed: null }));
    return liar.answers(request, 200, Buffer.concat(events.map(encodeStoredEvent)));
  },
  /** Entries that are not those of its events. */
  wrongEntries: async (liar, request, pass) =>
    isAsked(request, 'entries')
      ? liar.answers(request, 200, encodeEntries([new Uint8Array(42).fill(1), new Uint8Array(42).fill(2)]))
      : pass(),
  /** Nothing, for longer than anybody waits; but who it is, it tells. */
  stalled: (liar, request, pass) => (request.path === '/pubkeys' ? pass() : stall(liar)),
  /** All but entries, which do not come. */
  stalledEntries: (liar, request, pass) => (isAsked(request, 'entries') ? stall(liar) : pass()),
  /** All but events, which do not come. */
  stalledEvents: (liar, request, pass) => (isAsked(request, 'events') ? stall(liar) : pass()),
} satisfies Readonly<Record<string, Lie>>;

export type LieName = keyof typeof LIES;

/** A host over real sockets that lies as it is told to. It stands in front of an honest one, and has its keys. */
export class LyingHost {
  readonly url: string;
  readonly id: string;
  /** The trees that it was sent, in order: it may show each of them to anybody. */
  readonly trees: SignedThing<'tree'>[] = [];
  readonly ending: AbortSignal;
  lie: LieName | undefined;
  /** Batches are answered once this resolves. */
  hold: Promise<void> = Promise.resolve();
  isHeld = false;
  /** The head that it has told last. */
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

  /** What a head says that an answer is; undefined when it is none. */
  headOf({ status, body }: Told): Head | undefined {
    if (status !== 200) return undefined;
    try {
      const key = verifyKey(Buffer.from(this.#host.identity.verifyKey, 'base64'), 'the key of the host');
      return openHead(decodeHeadAnswer(body as Buffer), key).value;
    } catch {
      return undefined;
    }
  }

  /** A head, signed with the key of the host. */
  tells(request: Exchange, told: Head): Told {
    return this.answers(request, 200, encodeSigned(signHead(told, this.#host.identity.signingKey)));
  }

  refuses(request: Exchange, refusal: Refusal): Told {
    return this.answers(request, REFUSAL_STATUS[refusal.code], encodeRefusal(refusal));
  }

  /** An answer with its HMAC. */
  answers({ headers }: Exchange, status: number, body: Uint8Array): Told {
    const lines = { host: this.id, nonce: headers[NONCE_HEADER] ?? '', status, body };
    const signature = answerSignature(hostKeyOf(AUTH_KEY, this.id), lines);
    const type = { 'content-type': 'application/cbor', [ANSWER_HEADER]: signature };
    return { status, headers: type, body: Buffer.from(body) };
  }

  async #handle(request: Exchange, pass: () => Promise<Told>): Promise<Told> {
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
