import { existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { PROJECTIONS } from '../../projections/all.js';
import type { Config } from '../app/config.js';
import { corePaths } from '../platform/core-paths.js';
import { verify, type Difference, type Verification } from '../projector/verify.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** `sheratan verify`: compares the projections with the log. Resolves with the exit code: 1 when one differs. @throws CliError */
export async function runVerify(config: Config, print: (line: string) => void): Promise<number> {
  const paths = corePaths(config.dataDir);
  await access(paths.missions).catch(() => {
    throw new CliError(`There is no ${paths.missions}. Run \`sheratan replay\` or start the core, then verify.`);
  });
  return withLog(config, false, async (log) => {
    let exitCode = 0;
    for (const projection of PROJECTIONS.values()) {
      const path = paths.projection(projection.name);
      if (!existsSync(path)) continue;
      const progress = showProgress('verify', 'positions');
      const result = await verify(path, projection, log, paths.folder, (position, until) =>
        progress.update(Number(position), Number(until)),
      ).finally(() => progress.stop());
      const report = reportOn(result);
      for (const line of report.lines) print(line);
      exitCode = Math.max(exitCode, report.exitCode);
    }
    return exitCode;
  });
}

/** The report on a verification and its exit code. The digests decide whether the rows are the same. */
export function reportOn(result: Verification): { readonly exitCode: number; readonly lines: readonly string[] } {
  const { projection, position, events, storedDigest, replayedDigest, skipped, difference } = result;
  const passedOver = skipped > 0 ? `, ${skipped} skipped` : '';
  if (storedDigest === replayedDigest) {
    const equal = `${projection}: equal${passedOver} at position ${position} after ${events} events`;
    return { exitCode: 0, lines: [equal, `digest ${storedDigest}`] };
  }
  const [where, ...values] = difference === undefined ? ['no row that differs was found'] : describe(difference);
  const lines = [
    `${projection}: DIFFERS at position ${position}${passedOver}: ${where}`,
    ...values,
    `  digests   ${storedDigest} (stored), ${replayedDigest} (replayed)`,
    `Rebuild it from the log: sheratan replay ${projection}`,
  ];
  return { exitCode: 1, lines };
}

function describe({ table, key, column, stored, replayed }: Difference): [where: string, ...values: string[]] {
  const where = column === null ? `${table} '${key}'` : `${table} '${key}', column ${column}`;
  return [`first at ${where}`, `  stored    ${JSON.stringify(stored)}`, `  replayed  ${JSON.stringify(replayed)}`];
}
