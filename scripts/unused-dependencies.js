// Fails when package.json names a package that nothing imports and no npm script runs.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const FOLDERS = ['src', 'test', 'bench', 'scripts'];
const SOURCE = /\.[cm]?[jt]s$/;

/** @param {string} path */
const read = (path) => readFileSync(path, 'utf8');
const manifest = JSON.parse(read('package.json'));

/** @param {string} folder */
const sourcesIn = (folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));

/** The package an import names: `@scope/name/part` is `@scope/name`. @param {string} specifier */
const packageOf = (specifier) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** @param {string[]} files */
const importedBy = (files) =>
  new Set(
    files
      .filter((file) => SOURCE.test(file))
      .flatMap((file) => ts.preProcessFile(read(file), true, true).importedFiles)
      .map(({ fileName }) => packageOf(fileName)),
  );

const inProduction = importedBy(sourcesIn('src'));
const anywhere = importedBy([...FOLDERS.flatMap(sourcesIn), ...readdirSync('.')]);

const words = new Set(Object.values(manifest.scripts).flatMap((script) => script.split(/\s+/)));

/** Whether an npm script runs one of the package's commands. @param {string} name */
const isRun = (name) => {
  const { bin = {} } = JSON.parse(read(`node_modules/${name}/package.json`));
  return (typeof bin === 'string' ? [packageOf(name)] : Object.keys(bin)).some((command) => words.has(command));
};

/** Whether it holds the types of Node or of a package that is imported. @param {string} name */
const isTypesOfUsed = (name) => name === '@types/node' || anywhere.has(name.replace(/^@types\//, ''));

const unused = [
  ...Object.keys(manifest.dependencies).filter((name) => !inProduction.has(name)),
  ...Object.keys(manifest.devDependencies).filter(
    (name) => !anywhere.has(name) && !isRun(name) && !(name.startsWith('@types/') && isTypesOfUsed(name)),
  ),
];

if (unused.length > 0) {
  console.error(`Packages in package.json that nothing uses: ${unused.join(', ')}`);
  process.exitCode = 1;
}
