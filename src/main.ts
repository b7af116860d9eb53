#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { CONFIG_EXIT_CODE, explain } from './infra/cli/errors.js';
import { readConfig } from './infra/config.js';

const ENVIRONMENT = `
Environment:
  SHERATAN_DATA_DIR        where state lives (./data)
  SHERATAN_BIND            address to listen on (127.0.0.1)
  SHERATAN_PORT            port of the core (8001)
  SHERATAN_API_TOKENS      token:role[,…]; roles viewer, worker, operator; needed beyond loopback
  SHERATAN_INTROSPECTION   true or false; whether the schema may be asked for (true on loopback)
  SHERATAN_LOG_LEVEL       fatal, error, warn, info, debug, trace, silent (info)`;

const program = new Command('sheratan')
  .description('Mission control that survives off the grid: missions, tasks and jobs over GraphQL on an event log.')
  .version('0.1.0')
  .showHelpAfterError('(see sheratan --help)')
  .addHelpText('after', ENVIRONMENT);

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

program
  .command('up')
  .description('run everything this machine needs, as child processes that are restarted if they die')
  .addHelpText('after', '\nFor now that is the core. Stop it with Ctrl-C.')
  .action(async () => {
    readConfig(process.env);
    const { up } = await import('./infra/cli/up.js');
    process.exitCode = await up([{ name: 'core', args: ['serve'] }], fileURLToPath(import.meta.url), print);
  });

program
  .command('serve')
  .description('run the core: GraphQL, read models, playground')
  .addHelpText('after', '\nPrints where it listens; logs are JSON lines on stdout. Ctrl-C stops it within 10 s.')
  .action(async () => {
    const { serve } = await import('./infra/cli/serve.js');
    process.exitCode = await serve(readConfig(process.env), print);
  });

try {
  await program.parseAsync();
} catch (error) {
  const message = explain(error);
  if (message === undefined) throw error;
  process.stderr.write(`sheratan: ${message}\n`);
  process.exitCode = CONFIG_EXIT_CODE;
}
