import { onTestFinished } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import type { TestNode } from './node.js';

/** Keeps a projection of a node at its position; returns a function that lets it continue. */
export async function holdBack(node: TestNode, projection = 'missions'): Promise<() => Promise<unknown>> {
  const connection = await Connection.open(corePaths(node.folder).projection(projection), 'write');
  onTestFinished(() => connection.close());
  await connection.exec(
    `CREATE TRIGGER held BEFORE UPDATE OF position ON generations BEGIN SELECT RAISE(ABORT, 'held back'); END`,
  );
  return () => connection.exec('DROP TRIGGER held');
}
