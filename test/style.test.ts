import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const MAX_LINES = 400;
const UNWANTED = /\.\.\/shared|\/work\/|\bTODO\b|\bFIXME\b/;

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, lines: readFileSync(join('src', name), 'utf8').trimEnd().split('\n') }));

describe('the source', () => {
  it('is found', () => {
    expect(files.length).toBeGreaterThan(0);
  });

  it(`has no file over ${MAX_LINES} lines`, () => {
    expect(files.filter(({ lines }) => lines.length > MAX_LINES).map(({ name }) => name)).toEqual([]);
  });

  it('leaves nothing for later and names no place outside the repository', () => {
    const found = files.flatMap(({ name, lines }) =>
      lines.flatMap((line, index) => (UNWANTED.test(line) ? [`${name}:${index + 1} ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});
