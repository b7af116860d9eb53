/** The fields of a class, without its methods. */
export type Fields<T> = { readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: T[K] };

/**
 * An instance of a class of the schema, by which it is told in interfaces and unions. A field that is left out, or is none of the
 * class, does not compile.
 */
export function make<T extends object>(type: new () => T, fields: Fields<T>): T {
  return Object.assign(new type(), fields);
}
