import { stat } from 'node:fs/promises';
import { systemClock } from '../clock.js';
import { CommandHandler } from '../commands/handler.js';
import type { Config } from '../config.js';
import { importLegacy, isLegacyFolder } from '../transfer/import-legacy.js';
import { importLog } from '../transfer/import-log.js';
import type { BadLine } from '../transfer/import-report.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** Bad lines shown one by one; the rest are counted. */
const MAX_SHOWN = 20;

/** `sheratan import`: the prototype's folder, or a file that `export` wrote. Resolves with the exit code. */
export async function runImport(
  path: string,
  strict: boolean,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const isFolder = (await stat(path)).isDirectory();
  if (isFolder && !(await isLegacyFolder(path))) {
    throw new CliError(
      `${path} has no missions.jsonl. Name the prototype's data folder, or a file that \`sheratan export\` wrote.`,
    );
  }
  const progress = showProgress('import', 'bytes');
  let bad = 0;
  const listener = {
    onProgress: (done: number, total: number) => progress.update(done, total),
    onBadLine: ({ file, line, reason }: BadLine) => {
      const message = `${file}:${line}: ${reason}`;
      if (strict)
        throw new CliError(`${message}. Correct it and import again: what is in by now is not added twice.`, 1);
      bad += 1;
      if (bad <= MAX_SHOWN) process.stderr.write(`${message}\n`);
      if (bad === MAX_SHOWN + 1) process.stderr.write('… further bad lines are only counted\n');
    },
  };
  const startedAt = performance.now();
  const { reports, head } = await withLog(config, true, async (log) => {
    try {
      const done = isFolder
        ? await importLegacy(path, log, new CommandHandler(log, systemClock), listener)
        : [await importLog(path, log, listener)];
      return { reports: done, head: `${log.logId}:${await log.head()}` };
    } finally {
      progress.stop();
    }
  });
  for (const { file, missing, read, added, present, bad: wrong } of reports) {
    if (missing === true) print(`${file}: not there`);
    else print(`${file}: ${read} read, ${added} added, ${present} there already, ${wrong} bad`);
  }
  const total = reports.reduce((sum, { read }) => sum + read, 0);
  const seconds = (performance.now() - startedAt) / 1_000;
  print(`${total} records in ${seconds.toFixed(1)} s; the log is at ${head}`);
  return bad === 0 ? 0 : 1;
}
