import type { KeyObject } from 'node:crypto';
import { isSigned, type SignedHead } from '../wire/head.js';

/** A host says what cannot be: it is broken or lies, and counts for nothing until somebody has looked. */
export class Lie extends Error {
  override readonly name = 'Lie';
}

/** What a head must be. */
export interface ExpectedHead {
  readonly host: string;
  readonly key: KeyObject;
  readonly origin: string;
  readonly challenge?: string;
}

/** @throws Lie unless a head is of this host and this origin, signed with its key, and new */
export function assertTrue(head: SignedHead, { host, key, origin, challenge }: ExpectedHead): void {
  if (head.host !== host) throw new Lie(`it answers as another host (${head.host})`);
  if (head.origin !== origin) throw new Lie(`it answers for another origin (${head.origin})`);
  if (head.challenge !== challenge) throw new Lie('it answers with a head that was signed before');
  if (!isSigned(head, key)) throw new Lie('its head is not signed with its key');
}
