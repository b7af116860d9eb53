import { access } from 'node:fs/promises';
import { missions } from '../../projections/missions.js';
import type { Config } from '../config.js';
import { corePaths } from '../core-paths.js';
import { verify, type Verification } from '../projector/verify.js';
import { CliError } from './errors.js';
import { withLog } from './open-log.js';
import { showProgress } from './progress.js';

/** `sheratan verify`: proves the projections against the log. Resolves with the exit code: 1 when one differs. */
export async function runVerify(config: Config, print: (line: string) => void): Promise<number> {
  const paths = corePaths(config.dataDir);
  await access(paths.missions).catch(() => {
    throw new CliError(`There is no ${paths.missions}. Run \`sheratan replay\` or start the core, then verify.`);
  });
  const progress = showProgress('verify', 'positions');
  const result = await withLog(config, false, async (log) => {
    try {
      return await verify(paths.missions, missions, log, paths.folder, (position, until) =>
        progress.update(Number(position), Number(until)),
      );
    } finally {
      progress.stop();
    }
  });
  for (const line of describe(result)) print(line);
  return result.difference === undefined ? 0 : 1;
}

function describe({
  projection,
  position,
  events,
  storedDigest,
  replayedDigest,
  skipped,
  difference,
}: Verification): string[] {
  const passedOver = skipped > 0 ? `, ${skipped} skipped` : '';
  if (difference === undefined) {
    return [
      `${projection}: equal${passedOver} at position ${position} after ${events} events`,
      `digest ${storedDigest}`,
    ];
  }
  const { table, key, column, stored, replayed } = difference;
  const where = column === null ? `${table} '${key}'` : `${table} '${key}', column ${column}`;
  return [
    `${projection}: DIFFERS at position ${position}${passedOver}: first at ${where}`,
    `  stored    ${JSON.stringify(stored)}`,
    `  replayed  ${JSON.stringify(replayed)}`,
    `  digests   ${storedDigest} (stored), ${replayedDigest} (replayed)`,
    `Rebuild it from the log: sheratan replay ${projection}`,
  ];
}
