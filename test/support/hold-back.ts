import { onTestFinished } from 'vitest';
import { corePaths } from '../../src/infra/core-paths.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import type { TestNode } from './node.js';

/** Keeps the read models of a node where they are, until they are let go on. */
export async function holdBack(node: TestNode): Promise<() => Promise<unknown>> {
  const connection = await Connection.open(corePaths(node.folder).missions, 'write');
  onTestFinished(() => connection.close());
  await connection.exec(
    `CREATE TRIGGER held BEFORE UPDATE OF position ON generations BEGIN SELECT RAISE(ABORT, 'held back'); END`,
  );
  return () => connection.exec('DROP TRIGGER held');
}
