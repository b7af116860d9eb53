import type { Connection } from './connection.js';

/** The marks of a SQLite file of ours. */
export interface FileFormat {
  /** The kind of file, in `application_id`. */
  readonly applicationId: number;
  /** The version of its layout, in `user_version`. */
  readonly version: number;
}

/** What a file is by its marks: an empty file, a file in the expected format, of another version of it, or of another program. */
export type FoundFormat =
  { readonly is: 'NEW' | 'OURS' | 'FOREIGN' } | { readonly is: 'OTHER_VERSION'; readonly version: number };

/** Compares the marks of a file with those it should have. Nothing is written. @throws SqliteError */
export async function findFormat(connection: Connection, expected: FileFormat): Promise<FoundFormat> {
  const [marks] = await connection.all<{ application_id: number; user_version: number; tables: number }>(
    `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) AS tables
     FROM pragma_application_id, pragma_user_version`,
  );
  const { application_id: applicationId = 0, user_version: version = 0, tables = 0 } = marks ?? {};
  if (applicationId === 0 && version === 0 && tables === 0) return { is: 'NEW' };
  if (applicationId !== expected.applicationId) return { is: 'FOREIGN' };
  return version === expected.version ? { is: 'OURS' } : { is: 'OTHER_VERSION', version };
}

/** Marks a file as one of ours; within a transaction, together with its tables. @throws SqliteError */
export async function markFormat(connection: Connection, { applicationId, version }: FileFormat): Promise<void> {
  await connection.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version};`);
}
