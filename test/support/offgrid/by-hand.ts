import { randomBytes } from 'node:crypto';
import { MerkleFrontier } from '../../../src/domain/merkle.js';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { seal } from '../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { sha256 } from '../../../src/infra/crypto/sha256.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { decodeDamaged, decodeEntries, decodeRoots } from '../../../src/infra/offgrid/protocol/answers.js';
import {
  ANSWER_HEADER,
  bodyHashOf,
  hostKeyOf,
  isAnswerSignature,
  requestHeaders,
  type HostKey,
} from '../../../src/infra/offgrid/protocol/authentication.js';
import { encodeBatch, type Batch } from '../../../src/infra/offgrid/protocol/batch.js';
import { encodeClaimBody } from '../../../src/infra/offgrid/protocol/claim-body.js';
import { openClaim, signClaim } from '../../../src/infra/offgrid/protocol/claim.js';
import { encodeEntry, entryOf } from '../../../src/infra/offgrid/protocol/entry.js';
import type { NumberedEvent, SealedEvent } from '../../../src/infra/offgrid/protocol/event.js';
import { decodeStoredEvents } from '../../../src/infra/offgrid/protocol/events-answer.js';
import { decodeHeadAnswer, openHead, openStatements } from '../../../src/infra/offgrid/protocol/head.js';
import { decodeMendAnswer, encodeMend } from '../../../src/infra/offgrid/protocol/mend.js';
import { decodeRefusal, type Refusal } from '../../../src/infra/offgrid/protocol/refusal.js';
import type { SignedThing } from '../../../src/infra/offgrid/protocol/signed.js';
import { openTree, signTree, type Tree } from '../../../src/infra/offgrid/protocol/tree.js';
import { verifyKey, verifyKeyOf, type VerifyKey } from '../../../src/infra/offgrid/protocol/verify-key.js';
import { AUTH_KEY } from './host.js';

export const ORIGIN = 'core-v2';
const NO_ROOT = sha256();

/** The address and the identity of a host. */
export type HostAt = Pick<RunningHost, 'url'> & {
  readonly identity: Pick<RunningHost['identity'], 'id' | 'verifyKey'>;
};

/** A history: events with their entries and roots. It is immutable; a continuation is another history. */
export class History {
  readonly root: RootKey;
  readonly events: readonly SealedEvent[];
  readonly #frontiers: readonly MerkleFrontier[];

  private constructor(root: RootKey, events: readonly SealedEvent[], frontiers: readonly MerkleFrontier[]) {
    this.root = root;
    this.events = events;
    this.#frontiers = frontiers;
  }

  static begin(root = RootKey.generate()): History {
    return new History(root, [], [new MerkleFrontier(sha256)]);
  }

  get length(): number {
    return this.events.length;
  }

  /** The history of the first `at` events and of `count` new ones. */
  on(count: number, { at = this.length, name = 'a', bytes = 0 } = {}): History {
    const events = this.events.slice(0, at);
    const frontiers = this.#frontiers.slice(0, at + 1);
    for (let sequence = at + 1; sequence <= at + count; sequence += 1) {
      const place = { origin: ORIGIN, sequence, etype: 10, at: 1_700_000_000_000 + sequence };
      const text = `${name} ${sequence} ${'x'.repeat(bytes)}`;
      const event = { ts: place.at, etype: 10, sealed: new Uint8Array(seal(this.root.firstDataKey, place, text)) };
      const frontier = frontiers.at(-1)!.copy();
      frontier.append(encodeEntry(entryOf(event)));
      events.push(event);
      frontiers.push(frontier);
    }
    return new History(this.root, events, frontiers);
  }

  rootAt(sequence: number): Uint8Array {
    return new Uint8Array(this.#frontiers[sequence]!.root());
  }

  numbered(from: number, to: number): NumberedEvent[] {
    return this.events.slice(from - 1, to).map((event, i) => ({ ...event, sequence: from + i }));
  }
}

/** A refusal as it was received. */
export class Refused extends Error {
  readonly refusal: Refusal;
  readonly status: number;
  /** Whether the answer has the host's HMAC. */
  readonly isProven: boolean;

  constructor(refusal: Refusal, status: number, isProven: boolean) {
    super(`${refusal.code}: ${refusal.message}`);
    this.refusal = refusal;
    this.status = status;
    this.isProven = isProven;
  }

  get code(): string {
    return this.refusal.code;
  }
}

/** Parts of a request that differ from a valid one. */
export interface Sent {
  readonly key?: HostKey;
  readonly method?: 'GET' | 'POST';
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly nowMs?: number;
}

/** One process of a core that writes to hosts, with requests made by hand. */
export class Process {
  readonly root: RootKey;
  readonly epoch: number;
  readonly writer: string;

  constructor(root: RootKey, epoch = 1, writer = `abcdef:writer-${epoch}`) {
    this.root = root;
    this.epoch = epoch;
    this.writer = writer;
  }

  get key(): VerifyKey {
    return verifyKeyOf(this.root.verifyKey);
  }

  claim(host: HostAt, changed: { origin?: string; host?: string } = {}) {
    const claim = { host: host.identity.id, epoch: this.epoch, origin: ORIGIN, writer: this.writer, ...changed };
    const signed = signClaim(claim, this.root.signingKey);
    const body = encodeClaimBody({ key: this.key, claim: signed, challenge: randomBytes(16) });
    return this.#headOf(host, body, 'claim');
  }

  /** A tree of a history's first events. */
  tree(history: History, sequence = history.length, changed: Partial<Tree> = {}): SignedThing<'tree'> {
    const quorum = changed.quorum ?? 0;
    const tree = {
      ...{ ts: 1_700_000_000_000, base: 0, line: 1, epoch: this.epoch, origin: ORIGIN, writer: this.writer, sequence },
      ...{ root: history.rootAt(sequence), begun: NO_ROOT, quorum },
      quorumRoot: quorum <= history.length ? history.rootAt(quorum) : NO_ROOT,
      ...changed,
    };
    return signTree(tree, this.root.signingKey);
  }

  /** Ships events `from` … `to` of a history, with their tree. */
  ship(host: HostAt, history: History, from = 1, to = history.length, changed: Partial<Tree> = {}) {
    const tree = this.tree(history, to, changed);
    return this.shipTree(host, tree, history, from, to);
  }

  shipTree(
    host: HostAt,
    tree: SignedThing<'tree'>,
    history: { readonly events: Batch['events'] },
    from: number,
    to: number,
  ) {
    return this.#headOf(host, encodeBatch({ from, tree, events: history.events.slice(from - 1, to) }), 'events');
  }

  async #headOf(host: HostAt, body: Uint8Array, path: string) {
    const answer = await send(host, `/replica/${ORIGIN}/${path}`, { method: 'POST', body });
    return readHead(host, this.key, answer, sha256(body));
  }
}

/** A received head, after everything in it was verified. */
function readHead(host: HostAt, key: VerifyKey, body: Uint8Array, request: Uint8Array) {
  const hostKey = verifyKey(Buffer.from(host.identity.verifyKey, 'base64'), 'the key of the host');
  const { value } = openHead(decodeHeadAnswer(body), hostKey);
  if (toHex(value.request) !== toHex(request)) throw new Error('a head over another request');
  const { tree, claim, staged } = openStatements(value, key);
  return {
    ...{ origin: value.origin, host: value.host, damaged: value.damaged, key: value.key },
    ...{ tree: tree?.value ?? null, claim: claim?.value ?? null, staged: staged?.value ?? null },
  };
}

/** Sends a request without the product's client, and checks the HMAC of the answer. @throws Refused */
export async function send(host: HostAt, path: string, sent: Sent = {}): Promise<Uint8Array> {
  const { method = 'GET', body = new Uint8Array(), headers = {}, nowMs = Date.now() } = sent;
  const key = sent.key ?? hostKeyOf(AUTH_KEY, host.identity.id);
  const nonce = randomBytes(16).toString('hex');
  const lines = {
    ...{ host: host.identity.id, method, path, nonce },
    ...{ date: String(Math.floor(nowMs / 1_000)), bodyHash: bodyHashOf(body) },
  };
  const answer = await fetch(`${host.url}${path}`, {
    method,
    headers: { ...requestHeaders(key, lines), ...headers },
    ...(method === 'POST' ? { body: Buffer.from(body) } : {}),
  });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const signature = answer.headers.get(ANSWER_HEADER);
  const own = hostKeyOf(AUTH_KEY, host.identity.id);
  const isProven = signature !== null;
  if (
    isProven &&
    !isAnswerSignature(own, { host: host.identity.id, nonce, status: answer.status, body: bytes }, signature)
  )
    throw new Error(`an answer (${answer.status}) with another HMAC`);
  if (!answer.ok) throw new Refused(decodeRefusal(bytes), answer.status, isProven);
  if (!isProven) throw new Error(`an answer (${answer.status}) without its HMAC`);
  return bytes;
}

/** Reads what a host gives of an origin. */
export class Reader {
  readonly host: HostAt;
  readonly key: VerifyKey;
  readonly origin: string;

  constructor(host: HostAt, root: RootKey, origin = ORIGIN) {
    this.host = host;
    this.key = verifyKeyOf(root.verifyKey);
    this.origin = origin;
  }

  async head() {
    const challenge = randomBytes(32);
    return readHead(this.host, this.key, await this.#get(`head?challenge=${toHex(challenge)}`), challenge);
  }

  async roots(at: number) {
    return decodeRoots(await this.#get(`roots?at=${at}`));
  }

  async entries(query = '') {
    return decodeEntries(await this.#get(`entries${query}`));
  }

  async events(query = '') {
    return decodeStoredEvents(await this.#get(`events${query}`));
  }

  async damaged() {
    return decodeDamaged(await this.#get('damaged')).sequences;
  }

  async mend(events: readonly NumberedEvent[]): Promise<number> {
    const body = encodeMend({ events });
    return decodeMendAnswer(await send(this.host, `/replica/${this.origin}/mend`, { method: 'POST', body })).mended;
  }

  #get(path: string): Promise<Uint8Array> {
    return send(this.host, `/replica/${this.origin}/${path}`);
  }
}

/** The tree of a refusal, verified with a key; undefined if it has none. */
export function treeIn(refusal: Refusal, key: VerifyKey): Tree | undefined {
  return 'tree' in refusal ? openTree(refusal.tree, key).value : undefined;
}

/** The claim of a refusal, verified with a key; undefined if it has none. */
export function claimIn(refusal: Refusal, key: VerifyKey) {
  return 'claim' in refusal ? openClaim(refusal.claim, key).value : undefined;
}
