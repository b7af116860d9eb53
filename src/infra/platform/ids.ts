import { v5 as uuidv5, v7 as uuidv7 } from 'uuid';

/** The namespace of the ids that Sheratan derives; it never changes. */
const NAMESPACE = '5b1e7c0a-3d0c-5f5e-9a54-6b7a0d3c1f10';

/** A UUID derived from the parts: the same parts give the same id. */
export function derivedId(...parts: readonly (string | number)[]): string {
  return uuidv5(JSON.stringify(parts), NAMESPACE);
}

/** A new UUID; later ones are greater. */
export function newId(): string {
  return uuidv7();
}
