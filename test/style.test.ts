import { existsSync, readFileSync, readdirSync } from 'node:fs';
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

describe('scripts, and tests that run compiled code', () => {
  it('import only compiled files that have a source', () => {
    const all = ['scripts', 'test'].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    );
    const imports = all
      .filter((name) => /\.m?js$/.test(name))
      .flatMap((name) => [
        ...readFileSync(name, 'utf8').matchAll(/dist\('([^']+)\.js'\)|from '[./]+\/dist\/([^']+)\.js'/g),
      ])
      .map(([, called, imported]) => called ?? imported ?? '');
    expect(imports.length).toBeGreaterThan(10);
    expect(imports.filter((path) => !existsSync(join('src', `${path}.ts`)))).toEqual([]);
  });
});

describe('ARCHITECTURE.md', () => {
  const text = readFileSync('ARCHITECTURE.md', 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('|'));

  it('names only files and folders that are there', () => {
    const missing = rows.flatMap((row) => {
      let folder = '';
      return [...row.matchAll(/`((?:domain|projections|infra)\/[^`<]*|[a-z-]+\.ts)`/g)].flatMap(([, name = '']) => {
        if (name.includes('/')) folder = name.replace(/[^/]*$/, '');
        const path = join('src', name.includes('/') ? name : folder + name);
        return existsSync(path) ? [] : [path];
      });
    });
    expect(missing).toEqual([]);
  });

  it('and CONTRIBUTING.md name no file of the source that is not there', () => {
    const pages = `${text}${readFileSync('CONTRIBUTING.md', 'utf8')}`;
    const paths = [...pages.matchAll(/`(src\/[\w/.-]+)`/g)].map(([, path = '']) => path);
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('has a row for each room, and no other', () => {
    const rooms = (folder: string) =>
      readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const nested = ['offgrid', 'eventlog'].flatMap((room) =>
      rooms(`src/infra/${room}`).map(({ name }) => `${room}/${name}`),
    );
    const expected = [...rooms('src/infra').map(({ name }) => name), ...nested].filter((name) => name !== 'offgrid');
    const start = text.indexOf('| room ');
    const table = text.slice(start, text.indexOf('\n\n', start));
    const named = [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name);
    expect(named.toSorted()).toEqual(expected.toSorted());
  });
});
