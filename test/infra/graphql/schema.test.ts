import { readFileSync } from 'node:fs';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { buildSchema, isNullableType, isObjectType } from 'graphql';
import { describe, expect, it } from 'vitest';
import type { Problem } from '../../../src/domain/problem.js';
import { emitSdl, makeSchema } from '../../../src/infra/graphql/schema.js';
import { ProblemCodeEnum, toProblemType } from '../../../src/infra/graphql/kit/problems.js';

const committed = readFileSync('schema/schema.graphql', 'utf8');

/** The coordinates at which a schema breaks clients of an earlier schema. */
async function breaking(before: string, after: string): Promise<string[]> {
  const changes = await diff(buildSchema(before), buildSchema(after));
  return changes
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ path = '' }) => path);
}

describe('the schema', () => {
  it('accepts null for every argument that has a default', () => {
    const fields = Object.values(makeSchema().getTypeMap()).flatMap((type) =>
      isObjectType(type) && !type.name.startsWith('__') ? Object.values(type.getFields()) : [],
    );
    const withDefault = fields.flatMap(({ args }) => args.filter(({ defaultValue }) => defaultValue !== undefined));
    expect(new Set(withDefault.map(({ name }) => name))).toEqual(new Set(['first', 'consistency', 'skip']));
    expect(withDefault.filter(({ type }) => !isNullableType(type))).toEqual([]);
  });

  it('has no code of a problem that is never returned', () => {
    for (const code of Object.values(ProblemCodeEnum)) {
      expect(toProblemType({ code, message: '' } as Problem)).toMatchObject({ code });
    }
  });
});

describe('schema/schema.graphql', () => {
  it('breaks no client against the schema that is served', async () => {
    expect(await breaking(committed, emitSdl())).toEqual([]);
  });

  it('is the schema that is served; npm run schema writes it', () => {
    expect(emitSdl()).toBe(committed);
  });

  it.each([
    ['a problem that was removed', / \| StaleAttempt$/m, '', 'CompleteJobResult'],
    ['a field that was removed', / {2}"""[^"]+"""\n {2}closedReason: String\n/, '', 'Mission.closedReason'],
    ['a field that became nullable', /^ {2}jobCounts: JobCounts!/m, '  jobCounts: JobCounts', 'Mission.jobCounts'],
    ['an argument that was removed', /(?<=^ {2}job\([^)]*) {4}"""[^"]+"""\n {4}at: Position\n/m, '', 'Query.job.at'],
    [
      'an argument that became required',
      /(?<=^ {2}job\([^)]+)^ {4}at: Position$/m,
      '    at: Position!',
      'Query.job.at',
    ],
    [
      'an input field that became required',
      /(?<=input CreateMissionInput [^}]+) metadata: JSON/,
      ' metadata: JSON!',
      'CreateMissionInput.metadata',
    ],
    [
      'a value that was removed',
      /(?<=enum JobStatus [^}]+) {2}"""[^"]+"""\n {2}CANCELLED\n/,
      '',
      'JobStatus.CANCELLED',
    ],
  ])('would report %s', async (_what, from, to, path) => {
    const changed = committed.replace(from, to);
    expect(changed).not.toBe(committed);
    expect(await breaking(committed, changed)).toContain(path);
  });
});
