import type { SignedText } from '../../../domain/replication.js';
import { fromBase64, toBase64 } from '../../crypto/bytes.js';
import type { SignedKind, SignedThing } from '../protocol/signed.js';

/** A signed thing as the log keeps it. */
export function signedTextOf({ content, signature }: SignedThing): SignedText {
  return [toBase64(content), toBase64(signature)];
}

/** A signed thing from the form in which the log keeps it; it is not verified. */
export function signedThingOf<Kind extends SignedKind>(
  kind: Kind,
  [content, signature]: SignedText,
): SignedThing<Kind> {
  return { kind, content: fromBase64(content), signature: fromBase64(signature) };
}
