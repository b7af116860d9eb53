import { ETYPES, type EventType, type Fact, type RecordedEvent } from '../domain/event.js';

/** The type of a column. `position` is a place in the log: a bigint, stored as an INTEGER. */
export type ColumnType = 'text' | 'integer' | 'real' | 'position';

/** A column of a read model. */
export interface Column {
  readonly type: ColumnType;
  readonly nullable?: true;
  /** Belongs to this copy of the log (a position), so digests leave it out. */
  readonly local?: true;
  /** Never changes once its row exists, so updates do not write it or its indexes. */
  readonly fixed?: true;
}

/** An index of a read model; `where` limits it to the rows that a query needs. */
export interface Index {
  readonly columns: readonly string[];
  readonly where?: string;
}

/** A table of a read model; its rows have one key column. */
export interface Table {
  readonly columns: Readonly<Record<string, Column>>;
  readonly key: string;
  readonly indexes: Readonly<Record<string, Index>>;
}

/** The tables of a read model, by name. */
export type Tables = Readonly<Record<string, Table>>;

type ValueOf<C extends Column> =
  | (C['type'] extends 'text' ? string : C['type'] extends 'position' ? bigint : number)
  | (C extends { readonly nullable: true } ? null : never);

/** A row of a table, as folds receive it. */
export type RowOf<T extends Table> = { readonly [Name in keyof T['columns']]: ValueOf<T['columns'][Name]> };

/** Any row. */
export type AnyRow = Readonly<Record<string, string | number | bigint | null>>;

/** The rows that a fold works on: those its event touches, and those that were put before. */
export interface Rows<T extends Tables> {
  get<Name extends keyof T & string>(table: Name, key: string): RowOf<T[Name]> | undefined;
  /** Adds a row, or replaces the one with its key. */
  put<Name extends keyof T & string>(table: Name, row: RowOf<T[Name]>): void;
}

/** What one type of event does to a read model. */
export interface Handler<E extends RecordedEvent<string, object>, T extends Tables> {
  /** The existing rows that `fold` reads, by table and key. Rows that it only adds are not named. */
  readonly touches: (event: E) => readonly (readonly [table: keyof T & string, key: string])[];
  /** Changes rows through `rows.put`. Pure: it depends only on the event and those rows. */
  readonly fold: (rows: Rows<T>, event: E) => void;
}

/** The handlers of a union of facts, each for its own type of event. */
export type Handlers<F extends Fact<string, object>, T extends Tables> = {
  readonly [Type in F['type']]: F extends Fact<Type, infer Data> ? Handler<RecordedEvent<Type, Data>, T> : never;
};

/** A read model: its tables, and a pure fold of events into their rows. One projection is one SQLite file. */
export interface Projection {
  readonly name: string;
  /** Raised whenever tables or folds change; a file of another version is rebuilt. */
  readonly version: number;
  /** The categories of stream it folds; `ALL` includes those that this build does not know. */
  readonly categories: readonly string[] | 'ALL';
  readonly tables: Tables;
  /** Views over its live tables, for operators who query the file: SELECT statements that name tables as `{table}`. */
  readonly views?: Readonly<Record<string, string>>;
  readonly handlers: Readonly<Record<string, Handler<RecordedEvent, Tables>>>;
  /** Handles an event that is skipped; by default it has no effect. It must not depend on the event's data. */
  readonly skipped?: Handler<RecordedEvent, Tables>;
}

/** A projection as its module defines it, with the types of its tables and facts. */
export type Definition<T extends Tables, F extends Fact<string, object>> = Omit<
  Projection,
  'handlers' | 'skipped' | 'tables'
> & {
  readonly tables: T;
  readonly handlers: Handlers<F, T>;
  /** The handler for each type of the catalogue that has none of its own. */
  readonly others?: (type: EventType) => Handler<RecordedEvent<string, object>, T>;
  /** Handles an event that is skipped. */
  readonly skipped?: Handler<RecordedEvent<string, object>, T>;
};

/** Defines a projection whose handlers are checked against its facts and tables. */
export function defineProjection<T extends Tables, F extends Fact<string, object>>(
  definition: Definition<T, F>,
): Projection {
  const { others, ...projection } = definition;
  const types = others === undefined ? [] : (Object.keys(ETYPES) as EventType[]);
  const handlers = { ...Object.fromEntries(types.map((type) => [type, others?.(type)])), ...definition.handlers };
  // The log guarantees that an event's data has the shape of its type; the cast below relies on that guarantee.
  return { ...projection, handlers } as unknown as Projection;
}

/** A row as queries return it: positions are text. */
export type Stored<R> = { readonly [Name in keyof R]: R[Name] extends bigint ? string : R[Name] };
