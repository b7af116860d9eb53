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

/** A host signed a head that no honest host signs. Nothing else suspends a host. */
export class DishonestHostError extends Error {
  override readonly name = 'DishonestHostError';
  readonly kind: ProofKind;
  /** The head that proves the host dishonest. */
  readonly head: SignedThing<'head'>;
  /** The signed thing that the head contradicts; undefined when the head itself is the proof. */
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

/** The host and the origin that a head must be of, with their keys. */
export interface Expected {
  readonly host: Fingerprint;
  readonly hostKey: VerifyKey;
  readonly origin: Origin;
  readonly originKey: VerifyKey;
}

/** A good head: the host signed it in answer to the request, and all statements in it are the origin's. */
export interface GoodHead extends HeadStatements {
  readonly signed: SignedThing<'head'>;
  /** The number of events of the head that the host knows to be damaged. */
  readonly damaged: Sequence;
}

/**
 * Verifies the head in a host's answer.
 * @throws HostFailure NONSENSE when it is not the host's head for this request, which proves nothing against the host;
 * NOT_SIGNED when the host has another key for the origin
 * @throws DishonestHostError STATEMENT when a statement in the head is not the origin's, or is invalid
 */
export function verifyHead({ head: signed, request }: HeadAnswer, expected: Expected): GoodHead {
  const head = wordOf(signed, request, expected);
  if (head.key !== null && !equalBytes(head.key, expected.originKey))
    throw new HostFailure(
      'NOT_SIGNED',
      `Host ${expected.host} has another key for '${expected.origin}': another party claimed the name there first, or the host's OFFGRID_ORIGINS names another key.`,
    );
  try {
    return { signed, damaged: head.damaged, ...openStatements(head, expected.originKey) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const message = `it signed a head with a statement that is not the origin's: ${error.message}`;
    throw new DishonestHostError('STATEMENT', message, signed, { cause: error });
  }
}

/** Checks a head that answers a claim. @throws DishonestHostError CLAIM unless the head grants that claim */
export function assertGranted(
  { claim, signed }: GoodHead,
  { signed: against, value }: Statement<'claim', Claim>,
): void {
  const { epoch, writer } = value;
  if (claim?.value.epoch === epoch && claim.value.writer === writer) return;
  const message = `it answered a claim of epoch ${epoch} by ${writer} with a head that does not grant it`;
  throw new DishonestHostError('CLAIM', message, signed, { against });
}

/**
 * Checks a head that answers a batch.
 * @throws DishonestHostError BATCH unless the head's tree ranks at or above the batch's; for an incomplete batch, unless the
 * host has its tree as head or staged, or keeps what an honest host stages in its place
 */
export function assertTaken(
  { tree, staged, signed }: GoodHead,
  { signed: against, value: sent }: Statement<'tree', Tree>,
): void {
  if (isComplete(sent)) {
    if (compareRank(tree?.value, sent) >= 0) return;
  } else if ([tree, staged].some((kept) => kept !== null && isSame(kept.value, sent))) return;
  else if (staged !== null && isKeptFor(staged.value, sent)) return;
  const message = `it accepted a batch up to event ${sent.sequence} of epoch ${sent.epoch}, but its head does not have it`;
  throw new DishonestHostError('BATCH', message, signed, { against });
}

/** A head that was counted, with the rank of its tree. */
export interface Counted extends Rank {
  readonly signed: SignedThing<'head'>;
}

/**
 * Checks that the rank of a host's head has not fallen.
 * @param counted a head of the same host that was counted before the request for this head was sent
 * @throws DishonestHostError RANK when this head ranks below it
 */
export function assertNotFallen({ tree, signed }: GoodHead, counted: Counted | undefined): void {
  if (counted === undefined || compareRank(tree?.value, counted) >= 0) return;
  const message = `it lost or hides event ${counted.sequence} of epoch ${counted.epoch}, which it had signed for`;
  throw new DishonestHostError('RANK', message, signed, { against: counted.signed });
}

/** The decoded head, if it is signed by the host and answers the request. @throws HostFailure NONSENSE */
function wordOf(signed: SignedThing<'head'>, request: Uint8Array, { host, hostKey, origin }: Expected): Head {
  let head: Head;
  try {
    head = openHead(signed, hostKey).value;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new HostFailure('NONSENSE', `Host ${host} did not send a valid head: ${error.message}.`, { cause: error });
  }
  if (head.host !== host || head.origin !== origin || !equalBytes(head.request, request))
    throw new HostFailure('NONSENSE', `Host ${host} sent a head that does not answer the request.`);
  return head;
}

function isSame(a: Tree, b: Tree): boolean {
  return compareRank(a, b) === 0 && equalBytes(a.root, b.root) && equalBytes(a.begun, b.begun);
}

/**
 * Whether an honest host keeps its staged tree in place of an incomplete batch: the staged tree is of a higher epoch (even if
 * the host has lost the claim of that epoch), or it is of the batch's line and epoch and longer.
 */
function isKeptFor(staged: Tree, sent: Tree): boolean {
  if (staged.epoch > sent.epoch) return true;
  const isOfIt = staged.line === sent.line && staged.epoch === sent.epoch && equalBytes(staged.begun, sent.begun);
  return isOfIt && staged.sequence > sent.sequence;
}
