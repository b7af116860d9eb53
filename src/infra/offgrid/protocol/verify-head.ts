import type { ProofKind } from '../../../domain/replication.js';
import { equalBytes } from '../../crypto/bytes.js';
import type { Claim } from './claim.js';
import type { Fingerprint, Origin, Sequence } from './fields.js';
import { openHead, openStatements, type Head, type HeadStatements } from './head.js';
import { HostFailure, type HeadAnswer } from './host-client.js';
import { ProtocolError } from './protocol-error.js';
import type { SignedThing, Statement } from './signed.js';
import { compareRank, isComplete, type Rank, type Tree } from './tree.js';
import type { VerifyKey } from './verify-key.js';

/** A host has signed what it cannot have meant honestly. Nothing else suspends a host. */
export class DishonestHostError extends Error {
  override readonly name = 'DishonestHostError';
  readonly kind: ProofKind;
  /** What it has signed. */
  readonly head: SignedThing<'head'>;
  /** What that contradicts; undefined when the head contradicts itself. */
  readonly against: SignedThing | undefined;

  constructor(
    kind: ProofKind,
    message: string,
    head: SignedThing<'head'>,
    options: ErrorOptions & { readonly against?: SignedThing } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.head = head;
    this.against = options.against;
  }
}

/** Whose head it must be, and of which origin. */
export interface Expected {
  readonly host: Fingerprint;
  readonly hostKey: VerifyKey;
  readonly origin: Origin;
  readonly originKey: VerifyKey;
}

/** A head that counts: the host has signed it over what was asked, and all that it carries is the origin's. */
export interface GoodHead extends HeadStatements {
  readonly signed: SignedThing<'head'>;
  /** How many events of the head the host knows to be damaged. */
  readonly damaged: Sequence;
}

/**
 * Verifies the head that a host has answered with.
 * @throws HostFailure NONSENSE: it is not the host's word on what was asked, which proves nothing against the host; NOT_SIGNED: another
 * key is pinned there for the origin
 * @throws DishonestHostError STATEMENT
 */
export function verifyHead({ head: signed, request }: HeadAnswer, expected: Expected): GoodHead {
  const head = wordOf(signed, request, expected);
  if (head.key !== null && !equalBytes(head.key, expected.originKey))
    throw new HostFailure(
      'NOT_SIGNED',
      `Host ${expected.host} has another key for '${expected.origin}': somebody else has claimed the name there first.`,
    );
  try {
    return { signed, damaged: head.damaged, ...openStatements(head, expected.originKey) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new DishonestHostError('STATEMENT', `it signs for what the origin has not said: ${error.message}`, signed, {
      cause: error,
    });
  }
}

/** @throws DishonestHostError CLAIM unless a head that answers a claim has granted it */
export function assertGranted(
  { claim, signed }: GoodHead,
  { signed: against, value }: Statement<'claim', Claim>,
): void {
  const { epoch, writer } = value;
  if (claim?.value.epoch === epoch && claim.value.writer === writer) return;
  const message = `it was asked to grant epoch ${epoch} to ${writer}, and has granted another`;
  throw new DishonestHostError('CLAIM', message, signed, { against });
}

/** @throws DishonestHostError BATCH unless a head that answers a batch has its tree, or what ranks above it */
export function assertTaken(
  { tree, staged, signed }: GoodHead,
  { signed: against, value: sent }: Statement<'tree', Tree>,
): void {
  if (isComplete(sent)) {
    if (compareRank(tree?.value, sent) >= 0) return;
  } else if ([tree, staged].some((kept) => kept !== null && isSame(kept.value, sent))) return;
  else if (staged !== null && isKeptFor(staged.value, sent)) return;
  const message = `it has answered a batch up to event ${sent.sequence} of epoch ${sent.epoch}, and does not have it`;
  throw new DishonestHostError('BATCH', message, signed, { against });
}

/** A head that was counted: its rank, and the head itself. */
export interface Counted extends Rank {
  readonly signed: SignedThing<'head'>;
}

/**
 * @param counted a head that was counted before the request was sent that this one answers
 * @throws DishonestHostError RANK when a head ranks below it
 */
export function assertNotFallen({ tree, signed }: GoodHead, counted: Counted | undefined): void {
  if (counted === undefined || compareRank(tree?.value, counted) >= 0) return;
  const message = `it has lost, or hides, what it signed for: event ${counted.sequence} of epoch ${counted.epoch}`;
  throw new DishonestHostError('RANK', message, signed, { against: counted.signed });
}

/** What a host says, if it is the host, and speaks of what was asked. @throws HostFailure NONSENSE */
function wordOf(signed: SignedThing<'head'>, request: Uint8Array, { host, hostKey, origin }: Expected): Head {
  let head: Head;
  try {
    head = openHead(signed, hostKey).value;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new HostFailure('NONSENSE', `Host ${host} sends no head: ${error.message}.`, { cause: error });
  }
  if (head.host !== host || head.origin !== origin || !equalBytes(head.request, request))
    throw new HostFailure('NONSENSE', `Host ${host} sends a head that does not answer what it was asked.`);
  return head;
}

function isSame(a: Tree, b: Tree): boolean {
  return compareRank(a, b) === 0 && equalBytes(a.root, b.root) && equalBytes(a.begun, b.begun);
}

/**
 * Whether an honest host keeps what it has staged in place of an incomplete batch: it is of a higher epoch (whose claim the host
 * may have forgotten, being another than it was), or goes on from the batch.
 */
function isKeptFor(staged: Tree, sent: Tree): boolean {
  if (staged.epoch > sent.epoch) return true;
  const isOfIt = staged.line === sent.line && staged.epoch === sent.epoch && equalBytes(staged.begun, sent.begun);
  return isOfIt && staged.sequence > sent.sequence;
}
