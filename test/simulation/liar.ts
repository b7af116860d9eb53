import { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import { encodeDamaged, encodeEntries, encodeRoots } from '../../src/infra/offgrid/protocol/answers.js';
import { decodeClaimBody } from '../../src/infra/offgrid/protocol/claim-body.js';
import { openClaim, signClaim, type Claim } from '../../src/infra/offgrid/protocol/claim.js';
import { decodeStoredEvents, encodeStoredEvent } from '../../src/infra/offgrid/protocol/events-answer.js';
import { signHead, type Head } from '../../src/infra/offgrid/protocol/head.js';
import { encodeSigned, type SignedThing } from '../../src/infra/offgrid/protocol/signed.js';
import { compareRank, isComplete, signTree } from '../../src/infra/offgrid/protocol/tree.js';
import type { Random } from '../support/random.js';
import { batchOf, ORIGIN, ORIGIN_KEY, type SentBatch } from './bodies.js';
import type { Request, SimHost } from './host.js';

const UNKNOWN_KEY = new RootKey(Buffer.alloc(32, 99)).signingKey;
const NO_ROOT = new Uint8Array(32).fill(0xab);
const FORGED_EPOCH = 2 ** 40;

/** How often a host lies, by what it is asked; chances from 0 to 1. */
interface Manners {
  readonly claim: number;
  readonly ship: number;
  readonly head: number;
  readonly events: number;
  readonly entries: number;
  /** Reports events as damaged. */
  readonly damaged: number;
  /** Answers each claim with FENCED and that same claim. */
  readonly echoes: boolean;
  /** Shows nothing to a core that claims, and the highest tree afterwards. */
  readonly isTwoFaced: boolean;
  /** Takes part in everything and keeps nothing: asked for its head, it shows an earlier one. */
  readonly isSly: boolean;
  /** Signs with a key that no one has pinned. */
  readonly forges: boolean;
}

/**
 * A dishonest host. It has its own key, every tree that the origin has ever signed, and the claims that it was sent.
 */
export class Liar {
  readonly #host: SimHost;
  readonly #random: Random;
  readonly #manners: Manners;
  /** Every tree that was ever sent to any host. */
  readonly #pool: readonly SentBatch[];
  readonly #claims: SignedThing<'claim'>[] = [];

  constructor(host: SimHost, pool: readonly SentBatch[], random: Random) {
    this.#host = host;
    this.#pool = pool;
    this.#random = random;
    const often = () => random.pick([0, 0.05, 0.3, 0.7]);
    this.#manners = {
      ...{ claim: often(), ship: often(), head: often(), events: often(), entries: often(), damaged: often() },
      echoes: random.chance(0.1),
      isTwoFaced: random.chance(0.2),
      forges: random.chance(0.3),
      isSly: random.chance(0.3),
    };
  }

  /** Its answer to a request; undefined: the honest one. */
  answer(request: Request): Promise<Uint8Array> | undefined {
    const { claim, ship, head, events, entries, echoes, isTwoFaced, isSly } = this.#manners;
    const random = this.#random;
    switch (request.is) {
      case 'claim': {
        const { claim: signed } = decodeClaimBody(request.body);
        this.#claims.push(signed);
        if (isSly) return this.#answerWith(request, { ...this.#before(), claim: signed });
        if (echoes) return refused({ code: 'FENCED', claim: signed });
        if (isTwoFaced) return this.#answerWith(request, { tree: null, staged: null, claim: signed });
        return random.chance(claim) ? this.#onClaim(request, signed) : undefined;
      }
      case 'ship':
        if (isSly) return this.#sign(request);
        if (isTwoFaced && random.chance(0.5)) return this.#answerWith(request, this.#lie());
        return random.chance(ship) ? this.#onBatch(request) : undefined;
      case 'head':
        if (isSly) return this.#answerWith(request, this.#before());
        return random.chance(isTwoFaced ? 1 : head) ? this.#answerWith(request, this.#lie()) : undefined;
      case 'roots':
        return random.chance(entries) ? answered(encodeRoots({ head: NO_ROOT, staged: null })) : undefined;
      case 'entries':
        return random.chance(entries) ? answered(encodeEntries([new Uint8Array(42).fill(1)])) : undefined;
      case 'events':
        return random.chance(events) ? this.#onEvents(request) : undefined;
      case 'damaged':
        return random.chance(events) ? answered(encodeDamaged({ sequences: [1, 2] })) : undefined;
      case 'mend':
        return undefined;
    }
  }

  #onClaim(request: Request, claim: SignedThing<'claim'>): Promise<Uint8Array> {
    const roll = this.#random.next();
    if (roll < 0.15) return refused({ code: 'BUSY', wait: 1 });
    if (roll < 0.2) return this.#answerWith(request, { ...this.#lie(), claim: null });
    if (roll < 0.45) return refused({ code: 'FENCED', claim: this.#fence() });
    return this.#answerWith(request, { ...this.#lie(), claim });
  }

  /** Signs for a batch and keeps nothing of it, or does not take it. */
  #onBatch(request: Request & { readonly is: 'ship' | 'claim' | 'mend' }): Promise<Uint8Array> {
    const roll = this.#random.next();
    if (roll < 0.1) return refused({ code: 'OTHER' });
    if (roll < 0.2) return this.#answerWith(request, this.#lie());
    if (roll < 0.3 && this.#pool.length > 0)
      return refused({ code: this.#random.pick(['OLDER', 'COMMITTED', 'FORKED']), tree: this.#anyTree().batch.tree });
    return this.#sign(request);
  }

  #sign(request: Request & { readonly is: 'ship' | 'claim' | 'mend' }): Promise<Uint8Array> {
    const { batch, tree } = batchOf(request.body);
    const kept = isComplete(tree) ? { tree: batch.tree, staged: null } : { tree: null, staged: batch.tree };
    return this.#answerWith(request, kept);
  }

  /** An earlier tree, or none. */
  #before(): Partial<Head> {
    const whole = this.#pool.filter(({ tree }) => isComplete(tree));
    const one = whole[this.#random.between(-1, whole.length - 1)];
    return { tree: one?.batch.tree ?? null, staged: null };
  }

  /** Withholds contents, or gives wrong ones. */
  async #onEvents(request: Request): Promise<Uint8Array> {
    const [isAll, isWrong] = [this.#random.chance(0.5), this.#random.chance(0.5)];
    const events = decodeStoredEvents(await this.#host.serveHonestly(request));
    const answered = events.map((event) => {
      if (!isAll && event.sequence % 3 > 0) return event;
      if (!isWrong || event.sealed === null) return { ...event, sealed: null };
      return { ...event, sealed: event.sealed.map((byte, i) => (i === 60 ? byte ^ 1 : byte)) };
    });
    return Buffer.concat(answered.map((event) => encodeStoredEvent(event)));
  }

  /** Any trees that the origin has signed; sometimes one that it has not. */
  #lie(): Partial<Head> {
    const random = this.#random;
    const { isTwoFaced, forges } = this.#manners;
    if (this.#pool.length === 0) return { tree: null };
    if (forges && random.chance(0.4)) {
      const forged = { ...this.#anyTree().tree, epoch: FORGED_EPOCH, base: 0, line: 1, root: NO_ROOT };
      return { tree: signTree(forged, UNKNOWN_KEY) };
    }
    const whole = this.#pool.filter(({ tree }) => isComplete(tree));
    const roll = random.next();
    const isHighest = isTwoFaced || roll < 0.15;
    const [first] = whole;
    const highest = first && whole.reduce((a, b) => (compareRank(b.tree, a.tree) > 0 ? b : a), first);
    const tree = roll < 0.3 && !isHighest ? undefined : isHighest ? highest : first && random.pick(whole);
    const staged = random.chance(0.2) ? this.#anyTree() : undefined;
    return { tree: tree?.batch.tree ?? null, staged: staged?.batch.tree ?? null };
  }

  #anyTree(): SentBatch {
    return this.#random.pick(this.#pool);
  }

  /** A claim that it has withheld, or one that no core has made. */
  #fence(): SignedThing<'claim'> {
    const held = this.#random.pick(this.#claims);
    if (!this.#manners.forges) return held;
    const claim: Claim = { ...openClaim(held, ORIGIN_KEY).value, epoch: FORGED_EPOCH, writer: 'liar00:12345678' };
    return signClaim(claim, UNKNOWN_KEY);
  }

  /** A head over a request: fields that are not given are honest. */
  async #answerWith(request: Request, given: Partial<Head>): Promise<Uint8Array> {
    const { identity, disk } = this.#host;
    const { key = null, head = null, staged = null, claim = null } = disk.state ?? {};
    const damaged = this.#random.chance(this.#manners.damaged) ? this.#random.between(1, 3) : 0;
    const over = 'body' in request ? sha256(request.body) : request.is === 'head' ? request.challenge : NO_ROOT;
    const answered: Head = {
      ...{ ts: 0, key, host: identity.id, tree: head, claim, origin: ORIGIN, staged, damaged, request: over },
      ...given,
    };
    const isOwn = answered.claim === null || openClaimHost(answered.claim) === identity.id;
    return encodeSigned(signHead(isOwn ? answered : { ...answered, claim: null }, identity.signingKey));
  }
}

function openClaimHost(claim: SignedThing<'claim'>): string | undefined {
  return openClaim(claim, ORIGIN_KEY).value.host;
}

function answered(answer: Uint8Array): Promise<Uint8Array> {
  return Promise.resolve(answer);
}

function refused(refusal: Record<string, unknown>): Promise<never> {
  return Promise.reject(new RefusalError({ message: 'No.', ...refusal } as never));
}
