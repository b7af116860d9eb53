import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const read = (path: string) => readFileSync(path, 'utf8');

/** What a pattern finds in all of the source, by its first group. */
function inSource(pattern: RegExp): string[] {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return files.flatMap((name) => [...read(join('src', name)).matchAll(pattern)].map(([, code = '']) => code));
}

/** The texts in capitals of a declaration: from what begins it to the next empty line. */
function codesOf(path: string, start: string): string[] {
  const text = read(path);
  const from = text.indexOf(start);
  expect(from, `${start} in ${path}`).toBeGreaterThanOrEqual(0);
  const declaration = text.slice(from, text.indexOf('\n\n', from));
  return [...declaration.matchAll(/'([A-Z][A-Z_]+)'|^ {2}([A-Z][A-Z_]+):/gm)].map(([, a, b]) => a ?? b ?? '');
}

describe('docs/errors.md', () => {
  const named = new Set([...read('docs/errors.md').matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, code]) => code));

  it.each([
    ['src/infra/eventlog/errors.ts', 'export type LogErrorCode'],
    ['src/infra/readmodels/request-error.ts', 'export type RequestErrorCode'],
    ['src/infra/graphql/kit/errors.ts', 'export type ApiErrorCode'],
    ['src/infra/projector/errors.ts', 'export type ProjectionErrorCode'],
    ['src/infra/projector/status.ts', 'export type ProjectionFailureCode'],
    ['src/infra/crypto/keyring-file.ts', "readonly code: 'KEYRING_MISSING'"],
    ['src/infra/offgrid/protocol/refusal.ts', 'export const REFUSAL_STATUS'],
    ['src/infra/offgrid/protocol/host-client.ts', 'export type HostFailureCode'],
    ['src/infra/offgrid/replication/operations.ts', 'export type NotReplicated'],
    ['src/infra/offgrid/broker/signature.ts', "readonly code: 'BAD_SIGNATURE'"],
    ['src/domain/writer.ts', 'readonly code:'],
  ])('names every code of %s (%s)', (path, start) => {
    const codes = codesOf(path, start);
    expect(codes.length).toBeGreaterThan(1);
    expect(codes.filter((code) => !named.has(code))).toEqual([]);
  });

  it('names every problem, and every answer of HTTP', () => {
    const problems = [...read('src/domain/problem.ts').matchAll(/readonly code: '([A-Z_]+)'/g)].map(([, code]) => code);
    const answers = inSource(/new HttpError\(\s*\d+,\s*'([A-Z_]+)'/g);
    expect(problems.length).toBeGreaterThan(10);
    expect(answers.length).toBeGreaterThan(10);
    expect([...problems, ...answers].filter((code) => !named.has(code))).toEqual([]);
  });
});

describe('documentation', () => {
  const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'].concat(
    readdirSync('docs', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  );

  it('links to files and headings that are there', () => {
    const anchor = (heading: string) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-');
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].flatMap(([link, file = '', heading]) => {
        const path = file === '' ? page : join(page, '..', file);
        if (!existsSync(path)) return [`${page}: ${link}`];
        if (heading === undefined) return [];
        const headings = [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, words = '']) => anchor(words));
        return headings.includes(heading) ? [] : [`${page}: ${link}`];
      }),
    );
    expect(broken).toEqual([]);
  });
});
