import { stat } from 'node:fs/promises';
import type { Config } from '../app/config.js';
import { Commands } from '../commands/commands.js';
import { CommandHandler } from '../commands/handler.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { systemClock } from '../platform/clock.js';
import { importLegacy, isLegacyFolder } from '../transfer/import-legacy.js';
import { importLog } from '../transfer/import-log.js';
import type { BadLine } from '../transfer/import-report.js';
import { rebase } from '../transfer/rebase.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** The most bad lines that are reported one by one; further ones are only counted. */
const MAX_SHOWN = 20;

/** The options of `sheratan import`. */
export interface ImportOptions {
  readonly strict: boolean;
  /** Decide the commands behind the events of an export again, instead of copying the events. */
  readonly rebase: boolean;
}

/**
 * `sheratan import`: imports the prototype's folder, or a file that `export` wrote. Resolves with the exit code.
 * @throws CliError
 */
export async function runImport(
  path: string,
  { strict, rebase: isRebase }: ImportOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const isFolder = (await stat(path)).isDirectory();
  if (isFolder && !(await isLegacyFolder(path))) {
    throw new CliError(
      `${path} has no missions.jsonl. Name the prototype's data folder, or a file that \`sheratan export\` wrote.`,
    );
  }
  if (isFolder && isRebase)
    throw new CliError(`${path} is a folder: --rebase takes a file that \`sheratan export\` wrote.`);
  const progress = showProgress('import', 'bytes');
  let bad = 0;
  const listener = {
    onProgress: (done: number, total: number) => progress.update(done, total),
    onBadLine: ({ file, line, reason }: BadLine) => {
      const message = `${file}:${line}: ${reason}`;
      if (strict)
        throw new CliError(`${message}. Correct it and import again: what was already imported is not added twice.`, 1);
      bad += 1;
      if (bad <= MAX_SHOWN) process.stderr.write(`${message}\n`);
      if (bad === MAX_SHOWN + 1)
        process.stderr.write(`… further ${isRebase ? 'refused' : 'bad'} lines are only counted\n`);
    },
  };
  const take = async (log: EventLog) => {
    const handler = new CommandHandler(log, systemClock);
    if (isFolder) return importLegacy(path, log, handler, listener);
    return [await (isRebase ? rebase(path, log, new Commands(handler), listener) : importLog(path, log, listener))];
  };
  const startedAt = performance.now();
  const { reports, head } = await withLog(config, true, async (log) => {
    try {
      const done = await take(log);
      return { reports: done, head: `${log.logId}:${await log.head()}` };
    } finally {
      progress.stop();
    }
  });
  for (const { file, missing, read, added, present, bad: wrong, setAside } of reports) {
    if (missing === true) print(`${file}: missing`);
    else
      print(
        `${file}: ${read} read, ${added} added, ${present} already present, ${wrong} ${isRebase ? 'refused' : 'bad'}${setAside === 0 ? '' : `, ${setAside} set aside`}`,
      );
  }
  if (reports.some(({ setAside }) => setAside > 0))
    print('Set aside: hosts, keys and acknowledgements of the exported installation. This installation has its own.');
  const total = reports.reduce((sum, { read }) => sum + read, 0);
  const seconds = (performance.now() - startedAt) / 1_000;
  print(`${total} records in ${seconds.toFixed(1)} s; the log is at ${head}`);
  return bad === 0 ? 0 : 1;
}
