import { readFile, stat } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { Sheratan } from '../../support/core.js';

type Ran = Awaited<ReturnType<typeof Sheratan.run>>;

/** No command here reaches its data folder. */
const NOWHERE = '/nowhere';

const HELP = {
  up: ['restarts those that end', 'Ctrl-C'],
  serve: ['GraphQL', 'playground', 'within 10 s'],
  replay: ['[name]', 'missions', '--reset', '--prune', 'If a core runs'],
  verify: ['row by row', 'beside a running core', 'Exit code 1'],
  import: ['<path>', 'missions.jsonl', '--strict', '--rebase', 'adds nothing', 'exit code 1', 'Examples:'],
  host: ['--name', '--port', 'fingerprint', 'OFFGRID_HOST_KEY', 'reset-key', 'drop-evidence', 'Example:'],
  broker: ['--policy', 'advisory', 'max_age_s'],
  export: ['[file]', 'stdout', '--skip-damaged', '--unreplicated', 'same digest'],
  restore: [
    '--hosts',
    '--key',
    '--accept-loss <origin>',
    '--history',
    '--dishonest-weight',
    '--drill',
    '--repair',
    'only reads',
    'Example:',
  ],
  hosts: ['key', 'evidence', 'begin-line', 'loss of hosts'],
  writer: ['resume', 'checked again'],
};

/** Commands of a command. */
const NESTED: readonly (readonly [args: readonly string[], parts: readonly string[]])[] = [
  [
    ['host', 'reset-key'],
    ['--origin <origin>', '--name', 'a stopped host', 'pins another key'],
  ],
  [
    ['host', 'drop-evidence'],
    ['--origin <origin>', '--name', 'a stopped host', 'what is staged'],
  ],
  [
    ['hosts', 'key'],
    ['<fingerprint>', 'OFFGRID_HOST_KEY', 'OFFGRID_AUTH_KEY'],
  ],
  [
    ['hosts', 'evidence'],
    ['<fingerprint>', 'SUSPENDED', 'anyone can verify it'],
  ],
  [
    ['hosts', 'begin-line'],
    ['<origin>', 'lost permanently', 'BEHIND', 'given up'],
  ],
  [
    ['writer', 'resume'],
    ['BEHIND, FORKED', 'gone or has been corrected'],
  ],
];

const WRONG: readonly (readonly [args: readonly string[], message: string])[] = [
  [['fly'], "error: unknown command 'fly'"],
  [['repaly'], "error: unknown command 'repaly'"],
  [['--fast'], "error: unknown option '--fast'"],
  [['verify', '--fast'], "error: unknown option '--fast'"],
  [['import', '--stricct', 'x'], "error: unknown option '--stricct'"],
  [['import'], "error: missing required argument 'path'"],
  [['import', 'a', 'b'], "error: too many arguments for 'import'. Expected 1 argument but got 2."],
  [['export', 'a', 'b'], "error: too many arguments for 'export'. Expected 1 argument but got 2."],
  [['replay', 'a', 'b'], "error: too many arguments for 'replay'. Expected 1 argument but got 2."],
  [['up', 'a'], "error: too many arguments for 'up'. Expected 0 arguments but got 1."],
  [['serve', 'a'], "error: too many arguments for 'serve'. Expected 0 arguments but got 1."],
  [['verify', 'a'], "error: too many arguments for 'verify'. Expected 0 arguments but got 1."],
  [['hosts', 'key'], "error: missing required argument 'fingerprint'"],
  [['hosts', 'begin-line'], "error: missing required argument 'origin'"],
  [['hosts', 'fly'], "error: unknown command 'fly'"],
  [['host', 'reset-key'], "error: required option '--origin <origin>' not specified"],
  [['writer', 'fly'], "error: unknown command 'fly'"],
  [['writer', 'resume', 'a'], "error: too many arguments for 'resume'. Expected 0 arguments but got 1."],
];

const ran = new Map<string, Ran>();

/** The result of a command line. Each is run once, a few at a time: most of the time is the start of a process. */
function resultOf(args: readonly string[]): Ran {
  const result = ran.get(args.join(' '));
  if (result === undefined) throw new Error(`sheratan ${args.join(' ')} was not run`);
  return result;
}

beforeAll(async () => {
  const helps = Object.keys(HELP).flatMap((name) => [
    [name, '--help'],
    ['help', name],
  ]);
  const nested = NESTED.map(([args]) => [...args, '--help']);
  const lines = [[], ['--help'], ['--version'], ['-V'], ...helps, ...nested, ...WRONG.map(([args]) => args)];
  const waiting = [...lines];
  const worker = async () => {
    for (let args = waiting.shift(); args !== undefined; args = waiting.shift())
      ran.set(args.join(' '), await Sheratan.run(args, NOWHERE));
  };
  await Promise.all([worker(), worker(), worker()]);
}, 240_000);

describe('the help of sheratan', () => {
  it('names every command and every setting', () => {
    const { code, output, errors } = resultOf(['--help']);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    const text = output.join('\n');
    for (const name of Object.keys(HELP)) expect(text).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    expect(text).not.toMatch(/^ {2}schema/m);
  });

  it('names the settings that are read, and no other', async () => {
    const source = await readFile('src/infra/app/config.ts', 'utf8');
    const names = (text: string) => [...new Set(text.match(/(SHERATAN|OFFGRID)_[A-Z_]+/g))].sort();
    expect(names(resultOf(['--help']).output.join('\n'))).toEqual(names(source));
  });

  it('has the same defaults as docs/configuration.md, which names the same settings', async () => {
    const source = await readFile('src/infra/app/config.ts', 'utf8');
    const schema = source.slice(source.indexOf('const schema'), source.indexOf('/** Secrets are named'));
    const rows = [...(await readFile('docs/configuration.md', 'utf8')).matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\| /gm)];
    const documented = new Map(rows.map(([, name = '', value = '']) => [name, value.replaceAll('`', '')]));
    expect([...documented.keys()].sort()).toEqual(
      [...schema.matchAll(/^ {2}([A-Z_]+): /gm)].map(([, name]) => name).sort(),
    );
    const help = resultOf(['--help']).output.join('\n');
    for (const [name, value] of documented) {
      if (['none', 'see text', 'a majority'].includes(value)) continue;
      const [text = ''] = new RegExp(`^ {2}${name} [^]*?(?=^ {2}[A-Z]|(?![^]))`, 'm').exec(help) ?? [];
      expect(`${name} ${text.replace(/\s+/g, ' ')}`).toContain(`(${value}`);
    }
  });

  it.each(Object.entries(HELP))('of %s describes what it does, its options, and how it ends', (name, parts) => {
    const { code, output, errors } = resultOf([name, '--help']);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    const text = output.join(' ').replace(/\s+/g, ' ');
    expect(output[0]).toMatch(new RegExp(`^Usage: sheratan ${name}\\b`));
    for (const part of parts) expect(text).toContain(part);
    expect(resultOf(['help', name]).output).toEqual(output);
  });

  it.each(NESTED)('of %j describes what it does and its options', (args, parts) => {
    const { code, output, errors } = resultOf([...args, '--help']);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    const text = output.join(' ').replace(/\s+/g, ' ');
    expect(output[0]).toMatch(new RegExp(`^Usage: sheratan ${args.join(' ')}\\b`));
    for (const part of parts) expect(text).toContain(part);
  });

  it('is shown, as an error, when no command is given', () => {
    const { code, output, errors } = resultOf([]);
    expect({ code, output }).toEqual({ code: 1, output: [] });
    expect(errors[0]).toMatch(/^Usage: sheratan/);
  });
});

describe('the version', () => {
  it('is the version of the package', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    for (const option of ['--version', '-V'])
      expect(resultOf([option])).toMatchObject({ code: 0, output: [version], errors: [] });
  });
});

describe('the built program', () => {
  it('can be run by its name, as npx does', async () => {
    expect((await stat('bin/main.js')).mode & 0o111).toBe(0o111);
  });
});

describe('a command line that is wrong', () => {
  it.each(WRONG)('%j ends with exit code 1 and reports what is wrong and where to look', (args, message) => {
    const { code, output, errors } = resultOf(args);
    expect({ code, output }).toEqual({ code: 1, output: [] });
    expect(errors[0]).toBe(message);
    expect(errors.at(-1)).toMatch(/\(see sheratan .*--help\)/);
  });

  it('gets a suggestion of what may have been meant', () => {
    expect(resultOf(['repaly']).errors).toContain('(Did you mean replay?)');
    expect(resultOf(['import', '--stricct', 'x']).errors).toContain('(Did you mean --strict?)');
  });
});
