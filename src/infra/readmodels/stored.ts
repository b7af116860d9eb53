/** A row as SQLite gives it: positions are read as text. */
export type Stored<R> = { readonly [Name in keyof R]: R[Name] extends bigint ? string : R[Name] };
