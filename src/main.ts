#!/usr/bin/env node
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, Help } from 'commander';
import { assertOwnAuthKey, assertTokens, readConfig } from './infra/app/config.js';
import { CliError, CONFIG_EXIT_CODE, explain } from './infra/cli/errors.js';
import type { RestoreOptions } from './infra/cli/restore.js';
import { isLoopback } from './infra/platform/loopback.js';

const ENVIRONMENT = `
Environment:
  SHERATAN_DATA_DIR        where state lives (./data)
  EVENTSTORE_URL           esdb://… of an EventStoreDB or KurrentDB that holds the log; without it the log is in
                           the data folder. Any number of cores may share one, each with a data folder of its own
  SHERATAN_BIND            address to listen on (127.0.0.1)
  SHERATAN_PORT            port of the core (8001)
  SHERATAN_API_TOKENS      token:role[,…]; roles viewer, worker, operator; needed beyond loopback
  SHERATAN_INTROSPECTION   true or false; whether the schema may be asked for (true on loopback)
  SHERATAN_ORIGIN          this core's name on the hosts (core-v2)
  SHERATAN_KEY_PASSPHRASE  wraps the keyring; without it only its file's permissions protect it
  SHERATAN_REPLICATED_TIMEOUT  seconds a REPLICATED mutation waits for a quorum (10)
  OFFGRID_STORAGE_ENABLED  true or false; whether to replicate at all (true)
  OFFGRID_STORAGE_HOSTS    url[#fingerprint][*weight],… (http://127.0.0.1:8081,http://127.0.0.1:8082)
  OFFGRID_REQUIRED_ACKS    the weight of hosts that must have signed (more than half of all)
  OFFGRID_ALLOW_MINORITY   true takes OFFGRID_REQUIRED_ACKS of half or less: two halves may sign different things (false)
  OFFGRID_DISHONEST_WEIGHT the weight of hosts that may lie: so much more must be heard before anything counts (0)
  OFFGRID_BROKER_URL       the broker (http://127.0.0.1:9000)
  OFFGRID_AUTH_KEY         shared by core, hosts and broker; 16 characters at least beyond loopback
  OFFGRID_HOST_KEY         for a host, in its stead: the key of that host alone, as \`sheratan hosts key\` prints it
  OFFGRID_ORIGINS          for a host: name=key,… of the only origins it serves; without it the first claim of a name pins its key
  OFFGRID_CHUNK_THRESHOLD  bytes from which a host keeps an event as a file (1024)
  OFFGRID_HOST_BUDGET_MB   MiB a host keeps at most (1024)
  SHERATAN_LOG_LEVEL       fatal, error, warn, info, debug, trace, silent (info)`;

const program = new Command('sheratan')
  .description('Mission control that survives off the grid: missions, tasks and jobs over GraphQL on an event log.')
  .version('0.1.0')
  .configureHelp({
    // That a flag is not given unless it is given goes without saying.
    optionDescription: (option) =>
      option.defaultValue === false ? option.description : new Help().optionDescription(option),
  })
  .showHelpAfterError('(see sheratan --help)')
  .addHelpText('after', ENVIRONMENT);

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

program
  .command('up')
  .description('run everything this machine needs, as child processes that are restarted if they die')
  .addHelpText(
    'after',
    '\nThat is the core, and the broker and those hosts that the settings name on this machine. Stop it with Ctrl-C.',
  )
  .action(async () => {
    const config = readConfig(process.env);
    assertTokens(config);
    const { membersOf, up } = await import('./infra/cli/up.js');
    process.exitCode = await up(membersOf(config), fileURLToPath(import.meta.url), print);
  });

program
  .command('serve')
  .description('run the core: GraphQL, read models, playground')
  .addHelpText('after', '\nPrints where it listens; logs are JSON lines on stdout. Ctrl-C stops it within 10 s.')
  .action(async () => {
    // Before the rest is loaded: what is wrong with it is said at once.
    const config = readConfig(process.env);
    assertTokens(config);
    const { serve } = await import('./infra/cli/serve.js');
    process.exitCode = await serve(config, print);
  });

const host = program
  .command('host')
  .description('run a storage host: it keeps what cores ship, and cannot read it')
  .option('--name <name>', 'its folder in the data folder', 'host-a')
  .option('--port <port>', 'where it listens', '8081')
  .addHelpText(
    'after',
    `
Prints where it listens, and its fingerprint: whoever names that in OFFGRID_STORAGE_HOSTS (url#fingerprint) is sure
which host it is. Over its budget (OFFGRID_HOST_BUDGET_MB) it takes nothing more, and drops nothing.
Beyond loopback give it its own key alone (OFFGRID_HOST_KEY; \`sheratan hosts key\` prints it), and it cannot speak to
other hosts as a core.

Example:
  OFFGRID_AUTH_KEY=… SHERATAN_BIND=0.0.0.0 sheratan host --name cellar --port 8081`,
  )
  .action(async ({ name, port }: { name: string; port: string }) => {
    const config = readConfig(process.env);
    const { runHost } = await import('./infra/cli/host.js');
    process.exitCode = await runHost(config, { name: folderName(name), port: portNumber(port) }, print);
  });
host
  .command('reset-key')
  .description('forget, at a host that is stopped, whose key an origin has: the next to claim it pins his')
  .requiredOption('--origin <origin>', 'the name that somebody else has claimed first')
  .option('--name <name>', 'the folder of the host in the data folder', 'host-a')
  .action(async (_: unknown, command: Command) => {
    const { runResetKey } = await import('./infra/cli/host.js');
    process.exitCode = await runResetKey(ofHost(command), readConfig(process.env), print);
  });
host
  .command('drop-evidence')
  .description('free, at a host that is stopped, what was set aside of an origin')
  .requiredOption('--origin <origin>', 'whose')
  .option('--name <name>', 'the folder of the host in the data folder', 'host-a')
  .addHelpText('after', '\nWhat it has signed for stays. Histories that were given up, and keys that were reset, go.')
  .action(async (_: unknown, command: Command) => {
    const { runDropEvidence } = await import('./infra/cli/host.js');
    process.exitCode = await runDropEvidence(ofHost(command), readConfig(process.env), print);
  });

program
  .command('broker')
  .description('run a broker: it tells who keeps what; advisory, nothing depends on it')
  .option('--name <name>', 'its folder in the data folder', 'broker')
  .option('--port <port>', 'where it listens', '9000')
  .option('--policy <file>', 'a quorum policy, as JSON or a file of it; every node counts 1 unless given')
  .addHelpText(
    'after',
    `
A policy says what a node's word weighs, and for how long, by kind of record if need be. For instance:
  { "weights": { "host-a": 2 }, "kinds": { "replica": { "max_age_s": 3600 } } }`,
  )
  .action(async ({ name, port, policy }: { name: string; port: string; policy?: string }) => {
    const { dataDir, bind, logLevel, offgrid } = readConfig(process.env);
    if (!isLoopback(bind)) assertOwnAuthKey(offgrid);
    const { runBroker } = await import('./infra/cli/broker.js');
    const place = { dataDir, name: folderName(name), bind, port: portNumber(port) };
    process.exitCode = await runBroker({ ...place, authKey: offgrid.authKey, policy, logLevel }, print);
  });

program
  .command('replay')
  .description('build a read model anew from the log, beside the live one')
  .argument('[name]', 'the projection: missions or outbox', 'missions')
  .option('--reset', 'throw its file away first; for one that does not belong to this log', false)
  .option('--prune', 'drop the previous generation afterwards', false)
  .addHelpText('after', '\nWhere a core runs on the data folder, that core does it and goes on answering meanwhile.')
  .action(async (name: string, options: { reset: boolean; prune: boolean }) => {
    const { runReplay } = await import('./infra/cli/replay.js');
    process.exitCode = await runReplay(name, options, readConfig(process.env), print);
  });

program
  .command('verify')
  .description('prove the read models: replay the log into a shadow and compare, row by row')
  .addHelpText('after', '\nWorks beside a running core. Exit code 1 when they differ, naming the first row and column.')
  .action(async () => {
    const { runVerify } = await import('./infra/cli/verify.js');
    process.exitCode = await runVerify(readConfig(process.env), print);
  });

program
  .command('import')
  .description('import a data folder of the prototype, or a log that `export` wrote')
  .argument('<path>', 'a folder with missions.jsonl, tasks.jsonl and jobs.jsonl, or an NDJSON file')
  .option('--strict', 'stop at the first bad line instead of counting it', false)
  .option('--rebase', 'judge the commands of an export afresh, on the log at hand', false)
  .addHelpText(
    'after',
    `
Ids and dates are kept. Importing again adds nothing, and an import that was cut short goes on where it was.
A bad line is reported with file and line number; exit code 1 when there were any. Works beside a running core.
With --strict the first one ends it; up to 200 lines after that one may be in by then.

With --rebase events are not copied: what made them is done again, at its time and by its actor, and recorded as new
events where the rules still allow it. What is refused is reported with the reason; exit code 1 when anything was. For
what a fenced core had that no quorum has signed for: sheratan export --unreplicated.

Examples:
  sheratan import ./prototype/data
  sheratan import --rebase unreplicated.ndjson`,
  )
  .action(async (path: string, options: { strict: boolean; rebase: boolean }) => {
    const { runImport } = await import('./infra/cli/import.js');
    process.exitCode = await runImport(path, options, readConfig(process.env), print);
  });

program
  .command('export')
  .description('write the log as NDJSON, an event a line')
  .argument('[file]', 'where to; stdout unless given')
  .option('--skip-damaged', 'leave out events that are damaged, and say which, instead of stopping', false)
  .option('--unreplicated', 'only what no quorum has signed for, of missions, tasks and jobs', false)
  .addHelpText(
    'after',
    `
Works beside a running core. \`sheratan import <file>\` of it gives the same digests. What --unreplicated saves is taken
by \`sheratan import --rebase <file>\`.`,
  )
  .action(async (file: string | undefined, options: { skipDamaged: boolean; unreplicated: boolean }) => {
    const { runExport } = await import('./infra/cli/export.js');
    process.exitCode = await runExport(file, options, readConfig(process.env));
  });

program
  .command('copy')
  .description('copy a log between a data folder and an EventStoreDB server, either way')
  .requiredOption('--from <place>', 'a data folder, or a connection string: esdb://…')
  .requiredOption('--to <place>', 'the same; the log there must be empty, or the beginning of the other')
  .addHelpText(
    'after',
    `
Events keep their ids, streams, revisions and order. A copy that was cut short goes on where it was: run it again. At
the end both logs are read and their digests compared; exit code 1 when they differ. Works beside a running core: what
is recorded meanwhile is copied by running it again. Nobody may write to the target until it is done.

Example:
  sheratan copy --from ./data --to 'esdb://127.0.0.1:2113?tls=false'`,
  )
  .action(async ({ from, to }: { from: string; to: string }) => {
    const { runCopy } = await import('./infra/cli/copy.js');
    process.exitCode = await runCopy(from, to, print);
  });

program
  .command('restore')
  .description('get a whole core back from the hosts, into an empty data folder')
  .option('--hosts <hosts>', 'url#fingerprint,…; those of OFFGRID_STORAGE_HOSTS unless given')
  .option('--key <key>', 'the recovery key, or - to read it from stdin; SHERATAN_RECOVERY_KEY or the keyring otherwise')
  .option(
    '--accept-loss <origin>',
    'take what there is, though hosts that are missing may have signed for more; type the origin, to be sure',
  )
  .option('--history <digits>', 'with --accept-loss: the history whose root begins so, of those that were listed')
  .option('--dishonest-weight <weight>', 'the weight of hosts that may lie: so much more must answer', '0')
  .option('--drill', 'restore into a scratch folder, beside a running core, and compare', false)
  .option('--repair', 'mend the damaged log of a stopped core instead, event by event', false)
  .addHelpText(
    'after',
    `
Every event is verified: sealed by this origin, in this place, under a root that the origin has signed. What one host does
not give is taken from another, and the host is named. Hosts count when their fingerprints are given. It stops when hosts
that are missing may have signed for more than those that answer: bring them into reach, or say --accept-loss, which begins
a line of its own. It reads and does nothing else: of a core that is still alive somewhere and the restored one, the hosts
go on with whichever is elected first, and the other stops. OFFGRID_AUTH_KEY and SHERATAN_ORIGIN must be those of the lost
core.

--drill compares event by event with this core, and changes nothing: run it now and then.

--repair works on the data folder of a core that is stopped. Each event that is damaged or gone is taken from a host, and
verified; the log is replaced once all of it is whole, and the damaged file is kept. Exit code 0 only when it is whole.

Example:
  sheratan keys export                     # on the machine, while it lives: prints what to keep
  sheratan restore --hosts 'http://10.0.0.7:8081#9f86d081884c7d659a2feaa0c55ad015' --key -`,
  )
  .action(async (options: Omit<RestoreOptions, 'dishonestWeight'> & { dishonestWeight: string }) => {
    const { runRestore } = await import('./infra/cli/restore.js');
    const { dishonestWeight: weight } = options;
    if (!/^\d{1,5}$/.test(weight)) throw new CliError(`--dishonest-weight: '${weight}' must be a whole number`);
    process.exitCode = await runRestore(
      { ...options, dishonestWeight: Number(weight) },
      readConfig(process.env),
      print,
    );
  });

const keys = program.command('keys').description('the key everything is sealed with: print it to keep it, put it back');
keys
  .command('export')
  .description('print the recovery key, and the hosts with their fingerprints')
  .addHelpText(
    'after',
    `
Write them on paper, and keep that elsewhere: with them, \`sheratan restore\` gets everything back on an empty machine.
Nothing else ever prints the key.`,
  )
  .action(async () => {
    const { exportKeys } = await import('./infra/cli/keys.js');
    process.exitCode = await exportKeys(readConfig(process.env), print);
  });
keys
  .command('import')
  .description('put the recovery key into an empty keyring')
  .argument('[key]', 'the recovery key; read from stdin unless given', '-')
  .action(async (key: string) => {
    const { importKeys } = await import('./infra/cli/keys.js');
    process.exitCode = await importKeys(key, readConfig(process.env), print);
  });

const hosts = program.command('hosts').description('what a core knows of its hosts, and what it does about lost ones');
hosts
  .command('key')
  .description('print the key of one host: what it is given as OFFGRID_HOST_KEY, in the stead of OFFGRID_AUTH_KEY')
  .argument('<fingerprint>', 'the host; it prints its fingerprint when it starts')
  .action(async (fingerprint: string) => {
    const { printHostKey } = await import('./infra/cli/hosts.js');
    process.exitCode = printHostKey(fingerprint, readConfig(process.env), print);
  });
hosts
  .command('evidence')
  .description('print both sides of what a SUSPENDED host has proven against itself')
  .argument('<fingerprint>', 'the host, by its id in `hosts { id }`')
  .addHelpText('after', '\nEach side is printed as it was signed, in hexadecimal, so that anybody can verify it.')
  .action(async (fingerprint: string) => {
    const { printEvidence } = await import('./infra/cli/hosts.js');
    process.exitCode = await printEvidence(fingerprint, readConfig(process.env), print);
  });
hosts
  .command('begin-line')
  .description('put the log of the running core above every other history, for good')
  .argument('<origin>', 'SHERATAN_ORIGIN of that core, to be sure')
  .addHelpText(
    'after',
    `
For when hosts that must sign are lost for good, or when this core is BEHIND and the other one is known to be gone. What
was at quorum in the lines before binds it no more, and their policies end: what only lost hosts had is given up, and
whoever restores from hosts of an older line is refused where one of the new line is heard.`,
  )
  .action(async (origin: string) => {
    const { beginLine } = await import('./infra/cli/hosts.js');
    process.exitCode = await beginLine(origin, readConfig(process.env), print);
  });

program
  .command('writer')
  .description('what writes to the hosts for the running core')
  .command('resume')
  .description('forget why the core takes no more commands (BEHIND, FORKED): it claims again and is judged anew')
  .addHelpText('after', '\nOf use only where the host that showed another history is gone, or was put right.')
  .action(async () => {
    const { resumeWriter } = await import('./infra/cli/hosts.js');
    process.exitCode = await resumeWriter(readConfig(process.env), print);
  });

program
  .command('schema', { hidden: true })
  .description('print the GraphQL schema (SDL)')
  .option('--write', 'write it to schema/schema.graphql', false)
  .action(async ({ write }: { write: boolean }) => {
    const { emitSdl } = await import('./infra/graphql/schema.js');
    if (!write) print(emitSdl());
    else await writeFile(new URL('../schema/schema.graphql', import.meta.url), emitSdl());
  });

/** Options that the command above has as well come from there. @throws CliError */
function ofHost(command: Command): { readonly name: string; readonly origin: string } {
  const { name, origin } = command.optsWithGlobals<{ name: string; origin: string }>();
  return { name: folderName(name), origin };
}

/** @throws CliError */
function folderName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) && name !== 'core') return name;
  throw new CliError(`--name: '${name}' must be 1–64 letters, digits, dots, hyphens or underscores, and not 'core'`);
}

/** @throws CliError */
function portNumber(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new CliError(`--port: '${text}' must be a port: 0–65535`);
}

/** Says what is wrong, when that is for the person at the terminal; a defect is thrown, with its stack. */
function fail(error: unknown): number {
  const message = explain(error);
  if (message === undefined) throw error;
  process.stderr.write(`sheratan: ${message}\n`);
  return error instanceof CliError ? error.exitCode : CONFIG_EXIT_CODE;
}

// Whoever read the output has had enough (`sheratan export | head`): nothing is left to do, and nothing is wrong.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : fail(error));
});

// A socket that was torn does not keep Node running until whoever waits for it is told: it would end with 13, and no word.
const running = setInterval(() => undefined, 2 ** 30);
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = fail(error);
} finally {
  clearInterval(running);
}
