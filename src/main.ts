#!/usr/bin/env node
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, Help } from 'commander';
import { assertOwnAuthKey, assertTokens, readConfig } from './infra/app/config.js';
import { CliError, exitCodeOf, explain } from './infra/cli/errors.js';
import type { RestoreOptions } from './infra/cli/restore.js';
import { isLoopback } from './infra/platform/loopback.js';

const ENVIRONMENT = `
Environment:
  SHERATAN_DATA_DIR        the folder that holds state (./data)
  SHERATAN_EVENTSTORE_URL  esdb://… of an EventStoreDB or KurrentDB server that holds the log; without it the log is
                           in the data folder. Any number of cores may share one log, each with its own data folder
  SHERATAN_BIND            the address to listen on (127.0.0.1)
  SHERATAN_PORT            the port of the core (8001)
  SHERATAN_API_TOKENS      token:role[,…]; roles: viewer, worker, operator; required beyond loopback
  SHERATAN_INTROSPECTION   true or false: whether clients may query the schema (true on loopback, false beyond it)
  SHERATAN_ORIGIN          the name of this core on the hosts (core-v2)
  SHERATAN_KEY_PASSPHRASE  wraps the keyring; without it only the permissions of the file protect the keyring
  SHERATAN_REPLICATED_TIMEOUT  how long a REPLICATED mutation waits for a quorum, in seconds (10)
  OFFGRID_STORAGE_ENABLED  true or false: whether the core replicates its log to hosts (true)
  OFFGRID_STORAGE_HOSTS    url[#fingerprint][*weight],… (http://127.0.0.1:8081,http://127.0.0.1:8082)
  OFFGRID_REQUIRED_ACKS    the weight of hosts that must sign an event (more than half of all)
  OFFGRID_ALLOW_MINORITY   true permits OFFGRID_REQUIRED_ACKS of half the weight or less: two groups of hosts could
                           then sign two different histories (false)
  OFFGRID_DISHONEST_WEIGHT the weight of hosts that may be dishonest; that much additional weight must answer before
                           anything counts (0)
  OFFGRID_BROKER_URL       the URL of the broker (http://127.0.0.1:9000)
  OFFGRID_AUTH_KEY         the key that core, hosts and broker share; at least 16 characters beyond loopback
  OFFGRID_HOST_KEY         for a host, instead of OFFGRID_AUTH_KEY: the key of that host alone, as \`sheratan hosts key\`
                           prints it
  OFFGRID_ORIGINS          for a host: name=key,… of the only origins it serves; without it the first claim of a name
                           pins its key
  OFFGRID_CHUNK_THRESHOLD  a host keeps an event of more bytes than this as a file of its own (1024)
  OFFGRID_HOST_BUDGET_MB   the most that a host keeps, in MiB (1024)
  SHERATAN_LOG_LEVEL       fatal, error, warn, info, debug, trace or silent (info)`;

const program = new Command('sheratan')
  .description('Mission control that survives off the grid: missions, tasks and jobs over GraphQL on an event log.')
  .version('0.1.0', '-V, --version', 'Shows the version')
  .helpOption('-h, --help', 'Shows this help')
  .helpCommand('help [command]', 'Shows the help of a command.')
  .configureHelp({
    // "(default: false)" is obvious for a flag, so it is not shown.
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
  .description('Runs everything this machine needs as child processes, and restarts those that end.')
  .addHelpText(
    'after',
    '\nStarts the core, and the broker and hosts that the settings name on loopback. Ctrl-C stops all.',
  )
  .action(async () => {
    const config = readConfig(process.env);
    assertTokens(config);
    const { membersOf, up } = await import('./infra/cli/up.js');
    process.exitCode = await up(membersOf(config), fileURLToPath(import.meta.url), print);
  });

program
  .command('serve')
  .description('Runs the core: GraphQL, read models and the playground.')
  .addHelpText('after', '\nPrints its address. Logs are JSON lines on stdout. Ctrl-C stops it within 10 s.')
  .action(async () => {
    // Read before the rest is loaded, so that a wrong setting is reported immediately.
    const config = readConfig(process.env);
    assertTokens(config);
    const { serve } = await import('./infra/cli/serve.js');
    process.exitCode = await serve(config, print);
  });

const host = program
  .command('host')
  .description('Runs a storage host, which keeps what cores ship and cannot read it.')
  .option('--name <name>', 'The folder of the host in the data folder', 'host-a')
  .option('--port <port>', 'The port to listen on', '8081')
  .addHelpText(
    'after',
    `
Prints the address it listens on and its fingerprint. A core that names the fingerprint in OFFGRID_STORAGE_HOSTS
(url#fingerprint) accepts no other host at that URL. A host over its budget (OFFGRID_HOST_BUDGET_MB) refuses more events
and drops none. Beyond loopback, give the host only its own key (OFFGRID_HOST_KEY; \`sheratan hosts key\` prints it):
the host then cannot act as a core towards other hosts.

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
  .description('Forgets the key that a stopped host has pinned for an origin; the next claim pins another key.')
  .requiredOption('--origin <origin>', 'The name that another core has claimed first')
  .option('--name <name>', 'The folder of the host in the data folder', 'host-a')
  .action(async (_: unknown, command: Command) => {
    const { runResetKey } = await import('./infra/cli/host.js');
    process.exitCode = await runResetKey(ofHost(command), readConfig(process.env), print);
  });
host
  .command('drop-evidence')
  .description('Frees the space of what a stopped host has set aside of an origin.')
  .requiredOption('--origin <origin>', 'The name of the origin')
  .option('--name <name>', 'The folder of the host in the data folder', 'host-a')
  .addHelpText('after', '\nKeeps the history of the head and what is staged. Drops given-up histories and reset keys.')
  .action(async (_: unknown, command: Command) => {
    const { runDropEvidence } = await import('./infra/cli/host.js');
    process.exitCode = await runDropEvidence(ofHost(command), readConfig(process.env), print);
  });

program
  .command('broker')
  .description('Runs a broker, which shows which hosts keep what. It is advisory: nothing depends on it.')
  .option('--name <name>', 'The folder of the broker in the data folder', 'broker')
  .option('--port <port>', 'The port to listen on', '9000')
  .option('--policy <file>', 'A quorum policy, as JSON or as a file; without it every node has weight 1')
  .addHelpText(
    'after',
    `
A policy sets how much the acknowledgement of a node weighs and for how long it counts, by kind of record if needed:
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
  .description('Rebuilds a read model from the log, beside the live one.')
  .argument('[name]', 'The projection: missions or outbox', 'missions')
  .option('--reset', 'Deletes the file of the projection first; for a file that does not belong to this log', false)
  .option('--prune', 'Drops the previous generation afterwards', false)
  .addHelpText('after', '\nIf a core runs on the data folder, that core does it and continues to answer meanwhile.')
  .action(async (name: string, options: { reset: boolean; prune: boolean }) => {
    const { runReplay } = await import('./infra/cli/replay.js');
    process.exitCode = await runReplay(name, options, readConfig(process.env), print);
  });

program
  .command('verify')
  .description('Verifies the read models: replays the log into a shadow copy and compares the two row by row.')
  .addHelpText('after', '\nWorks beside a running core. Exit code 1 when they differ; names the first row and column.')
  .action(async () => {
    const { runVerify } = await import('./infra/cli/verify.js');
    process.exitCode = await runVerify(readConfig(process.env), print);
  });

program
  .command('import')
  .description('Imports a data folder of the prototype, or a log that `export` wrote.')
  .argument('<path>', 'A folder with missions.jsonl, tasks.jsonl and jobs.jsonl, or an NDJSON file')
  .option('--strict', 'Stops at the first bad line instead of counting it', false)
  .option('--rebase', 'Decides the commands of an export again, on this log', false)
  .addHelpText(
    'after',
    `
Ids and dates are kept. Importing again adds nothing, and an interrupted import continues where it stopped.
A bad line is reported with its file and line number; exit code 1 when there are any. Works beside a running core.
With --strict the first bad line ends the import; up to 200 lines after it may have been imported by then.

With --rebase, events are not copied: the commands behind them are decided again, with their time and their actor, and
recorded as new events where the rules still allow it. A refused command is reported with the reason; exit code 1 when
there are any. This is for events of a fenced core that no quorum has signed for: sheratan export --unreplicated.

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
  .description('Writes the log as NDJSON, one event per line.')
  .argument('[file]', 'The file to write; stdout by default')
  .option('--skip-damaged', 'Leaves out damaged events and reports them, instead of stopping at the first', false)
  .option('--unreplicated', 'Writes only events of missions, tasks and jobs that no quorum has signed for', false)
  .addHelpText(
    'after',
    `
Works beside a running core. Importing the file (\`sheratan import <file>\`) gives the same digest of missions.
A file written with --unreplicated is imported with \`sheratan import --rebase <file>\`.`,
  )
  .action(async (file: string | undefined, options: { skipDamaged: boolean; unreplicated: boolean }) => {
    const { runExport } = await import('./infra/cli/export.js');
    process.exitCode = await runExport(file, options, readConfig(process.env));
  });

program
  .command('copy')
  .description('Copies a log between a data folder and an EventStoreDB server, in either direction.')
  .requiredOption('--from <place>', 'A data folder, or a connection string: esdb://…')
  .requiredOption('--to <place>', 'The same; the log there must be empty, or the beginning of the source')
  .addHelpText(
    'after',
    `
Events keep their ids, streams, revisions and order. An interrupted copy continues where it stopped: run it again. At
the end both logs are read and their digests compared; exit code 1 when they differ. Works beside a running core: run
it again to copy what was recorded meanwhile. Nothing else may write to the target until the copy is complete.

Example:
  sheratan copy --from ./data --to 'esdb://127.0.0.1:2113?tls=false'`,
  )
  .action(async ({ from, to }: { from: string; to: string }) => {
    const { runCopy } = await import('./infra/cli/copy.js');
    process.exitCode = await runCopy(from, to, print);
  });

program
  .command('restore')
  .description('Restores a core from the hosts, into an empty data folder.')
  .option(
    '--hosts <hosts>',
    'url#fingerprint,…; by default those of OFFGRID_STORAGE_HOSTS; for a drill or a repair, those that the core knows',
  )
  .option('--key <key>', 'The recovery key; - reads it from stdin; by default SHERATAN_RECOVERY_KEY or the keyring')
  .option(
    '--accept-loss <origin>',
    'Restores what is available, although missing hosts may have signed for more; type the origin to confirm',
  )
  .option('--history <digits>', 'With --accept-loss: takes the listed history whose root begins with these digits')
  .option(
    '--dishonest-weight <weight>',
    'The weight of hosts that may be dishonest; that much additional weight must answer',
    '0',
  )
  .option('--drill', 'Restores into a scratch folder, beside a running core, and compares the two', false)
  .option('--repair', 'Repairs the damaged log of a stopped core instead, event by event', false)
  .addHelpText(
    'after',
    `
Every event is verified: sealed by this origin, in this place, under a root that the origin has signed. What one host
does not give is taken from another, and the host is named. Hosts count only if their fingerprints are given. The restore
stops when missing hosts may have signed for more than those that answer: start the missing hosts, or pass --accept-loss,
which begins a new line. The restore only reads: if the lost core still runs somewhere, the hosts continue with the core
that is elected first, and the other one stops. OFFGRID_AUTH_KEY and SHERATAN_ORIGIN must be those of the lost core.

--drill compares event by event with this core and changes nothing. Run it regularly.

--repair works on the data folder of a stopped core. Each damaged or missing event is taken from a host and verified. The
log is replaced once it is complete, and the damaged file is kept. Exit code 0 only when the log is complete.

Example:
  sheratan keys export                     # on the machine, while it works: prints what to keep
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

const keys = program
  .command('keys')
  .description('Exports and imports the root key, from which all other keys are derived.');
keys
  .command('export')
  .description('Prints the recovery key, and the hosts with their fingerprints.')
  .addHelpText(
    'after',
    `
Write them on paper and keep the paper in another place: \`sheratan restore\` needs them to restore the core on an empty
machine. No other command prints the key.`,
  )
  .action(async () => {
    const { exportKeys } = await import('./infra/cli/keys.js');
    process.exitCode = await exportKeys(readConfig(process.env), print);
  });
keys
  .command('import')
  .description('Writes the recovery key into an empty keyring.')
  .argument('[key]', 'The recovery key; - reads it from stdin', '-')
  .action(async (key: string) => {
    const { importKeys } = await import('./infra/cli/keys.js');
    process.exitCode = await importKeys(key, readConfig(process.env), print);
  });

const hosts = program
  .command('hosts')
  .description('Shows what a core knows of its hosts, and handles the loss of hosts.');
hosts
  .command('key')
  .description('Prints the key of one host, which the host takes as OFFGRID_HOST_KEY instead of OFFGRID_AUTH_KEY.')
  .argument('<fingerprint>', 'The fingerprint of the host, which it prints when it starts')
  .action(async (fingerprint: string) => {
    const { printHostKey } = await import('./infra/cli/hosts.js');
    process.exitCode = printHostKey(fingerprint, readConfig(process.env), print);
  });
hosts
  .command('evidence')
  .description('Prints both sides of the proof that a SUSPENDED host is dishonest.')
  .argument('<fingerprint>', 'The fingerprint of the host: its id in `hosts { id }`')
  .addHelpText('after', '\nEach side is printed as it was signed, in hexadecimal, so that anyone can verify it.')
  .action(async (fingerprint: string) => {
    const { printEvidence } = await import('./infra/cli/hosts.js');
    process.exitCode = await printEvidence(fingerprint, readConfig(process.env), print);
  });
hosts
  .command('begin-line')
  .description('Ranks the log of the running core above every other history, permanently.')
  .argument('<origin>', 'SHERATAN_ORIGIN of that core, to confirm')
  .addHelpText(
    'after',
    `
Use it when hosts that must sign are lost permanently, or when this core is BEHIND and the other core is known to be gone.
What was at quorum in earlier lines no longer binds this core, and the policies of those lines end. What only the lost
hosts had is given up. A restore from hosts of an earlier line is refused if a host of the new line is heard.`,
  )
  .action(async (origin: string) => {
    const { beginLine } = await import('./infra/cli/hosts.js');
    process.exitCode = await beginLine(origin, readConfig(process.env), print);
  });

program
  .command('writer')
  .description('Controls the writer of the running core, which ships its events to the hosts.')
  .command('resume')
  .description('Makes a core that takes no more commands (BEHIND, FORKED) claim the hosts again and be checked again.')
  .addHelpText('after', '\nThis helps only if the host that showed another history is gone or has been corrected.')
  .action(async () => {
    const { resumeWriter } = await import('./infra/cli/hosts.js');
    process.exitCode = await resumeWriter(readConfig(process.env), print);
  });

program
  .command('schema', { hidden: true })
  .description('Prints the GraphQL schema (SDL).')
  .option('--write', 'Writes it to schema/schema.graphql', false)
  .action(async ({ write }: { write: boolean }) => {
    const { emitSdl } = await import('./infra/graphql/schema.js');
    if (!write) print(emitSdl());
    else await writeFile(new URL('../schema/schema.graphql', import.meta.url), emitSdl());
  });

/** Reads the options of a `host` subcommand; those that `host` defines too are parsed by `host`. @throws CliError */
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

/** Prints the message of an error meant for the operator and returns the exit code; a defect is thrown, with its stack. */
function fail(error: unknown): number {
  const message = explain(error);
  if (message === undefined) throw error;
  process.stderr.write(`sheratan: ${message}\n`);
  return exitCodeOf(error);
}

// The reader of the output closed it (`sheratan export | head`): nothing is left to do, and that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : fail(error));
});

// A broken socket does not keep Node running until its waiters are notified: Node would exit with 13 and no message.
const running = setInterval(() => undefined, 2 ** 30);
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = fail(error);
} finally {
  clearInterval(running);
}
