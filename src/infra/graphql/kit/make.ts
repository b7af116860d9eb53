/** The fields of a class, without its methods. */
export type Fields<T> = { readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: T[K] };

/**
 * An instance of a class of the schema: interfaces and unions resolve their type by the class. A field that is missing, or that
 * the class does not have, does not compile.
 */
export function make<T extends object>(type: new () => T, fields: Fields<T>): T {
  return Object.assign(new type(), fields);
}
