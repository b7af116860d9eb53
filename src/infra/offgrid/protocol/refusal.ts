import { encode } from '@ipld/dag-cbor';
import { checkBodySize } from './body-size.js';
import { eventCount, MAX_SHORT_BODY_BYTES, type Sequence } from './fields.js';
import { integer, malformed, membersOf, type Field } from './members.js';
import { pairOf, signedThing, type SignedThing } from './signed.js';
import { decodeStrict } from './strict-cbor.js';

/** The HTTP status of each code of a refusal. */
export const REFUSAL_STATUS = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  NOT_SIGNED: 403,
  FENCED: 403,
  NOT_FOUND: 404,
  GAP: 409,
  NOT_CLAIMED: 409,
  OTHER: 409,
  FORKED: 409,
  OLDER: 409,
  COMMITTED: 409,
  TOO_LARGE: 413,
  DAMAGED: 500,
  INTERNAL: 500,
  BUSY: 503,
  FULL: 507,
} as const;

/** The code of a refusal. docs/protocol.md describes each. */
export type RefusalCode = keyof typeof REFUSAL_STATUS;

/** The maximum length of a message, in Unicode code points. */
export const MAX_MESSAGE_CHARACTERS = 300;
/** The maximum `wait` of BUSY, in seconds. */
export const MAX_WAIT_SECONDS = 300;

type With<Code extends RefusalCode, Members extends object = object> = Members & {
  readonly code: Code;
  /** For people. Pass it through `printable` before printing. */
  readonly message: string;
};

/**
 * Why a host refuses a request. A claim or tree in a refusal counts only when it opens under the origin's key; nothing else
 * in a refusal is proven.
 */
export type Refusal =
  | With<'FENCED', { readonly claim: SignedThing<'claim'> }>
  | With<'FORKED' | 'OLDER' | 'COMMITTED', { readonly tree: SignedThing<'tree'> }>
  /** `sequence`: the length of the longer of the host's histories. */
  | With<'GAP', { readonly sequence: Sequence }>
  /** `wait`: how long to wait before the next attempt, in seconds, 0 to 300. */
  | With<'BUSY', { readonly wait: number }>
  | With<Exclude<RefusalCode, 'FENCED' | 'FORKED' | 'OLDER' | 'COMMITTED' | 'GAP' | 'BUSY'>>;

const claim = signedThing('claim');
const tree = signedThing('tree');
const seconds = integer(0, Number.MAX_SAFE_INTEGER);
const code: Field<RefusalCode> = (value, where) => {
  if (typeof value !== 'string' || !isCode(value)) throw malformed(value, where, 'a code of the protocol');
  return value;
};
const message: Field<string> = (value, where) => {
  if (typeof value !== 'string' || charactersOf(value).length > MAX_MESSAGE_CHARACTERS)
    throw malformed(value, where, `a text of at most ${MAX_MESSAGE_CHARACTERS} characters`);
  return value;
};

/** The body of a refusal. A message or a wait above its maximum is shortened. */
export function encodeRefusal(refusal: Refusal): Uint8Array {
  const { code } = refusal;
  const message = charactersOf(refusal.message.toWellFormed()).slice(0, MAX_MESSAGE_CHARACTERS).join('');
  switch (refusal.code) {
    case 'FENCED':
      return encode({ code, claim: pairOf(refusal.claim), message });
    case 'FORKED':
    case 'OLDER':
    case 'COMMITTED':
      return encode({ code, tree: pairOf(refusal.tree), message });
    case 'GAP':
      return encode({ code, message, sequence: refusal.sequence });
    case 'BUSY':
      return encode({ code, wait: Math.max(0, Math.min(Math.ceil(refusal.wait), MAX_WAIT_SECONDS)), message });
    default:
      return encode({ code, message });
  }
}

/**
 * A refusal from the body of an answer. A wait above 300 s counts as 300 s.
 * @throws ProtocolError TOO_LARGE above 16 KiB; MALFORMED, also when the code is unknown or lacks a member that belongs to it
 */
export function decodeRefusal(body: Uint8Array): Refusal {
  checkBodySize(body, MAX_SHORT_BODY_BYTES);
  const member = membersOf(decodeStrict(body, 'the refusal'), 'refusal');
  const [known, text] = [member('code', code), member('message', message)];
  switch (known) {
    case 'FENCED':
      return { code: known, message: text, claim: member('claim', claim) };
    case 'FORKED':
    case 'OLDER':
    case 'COMMITTED':
      return { code: known, message: text, tree: member('tree', tree) };
    case 'GAP':
      return { code: known, message: text, sequence: member('sequence', eventCount) };
    case 'BUSY':
      return { code: known, message: text, wait: Math.min(member('wait', seconds), MAX_WAIT_SECONDS) };
    default:
      return { code: known, message: text };
  }
}

/** A text of another node without control characters (C0, DEL, C1) and without bidirectional control characters. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, '');
}

function isCode(text: string): text is RefusalCode {
  return Object.hasOwn(REFUSAL_STATUS, text);
}

/** The first Unicode code points of a text: enough to detect that it is too long. */
function charactersOf(text: string): readonly string[] {
  return Array.from(text.slice(0, 2 * (MAX_MESSAGE_CHARACTERS + 1)));
}
