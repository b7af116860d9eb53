import { mkdir } from 'node:fs/promises';
import { PROJECTIONS } from '../../projections/all.js';
import type { Projection } from '../../projections/projection.js';
import type { Config } from '../app/config.js';
import { renameLog } from '../app/open-log.js';
import { awaitReplay, deleteProjection, hasLostEvents, replay, type ReplayStatus } from '../maintenance/replay.js';
import { corePaths } from '../platform/core-paths.js';
import { ProcessLock } from '../sqlite/process-lock.js';
import { CliError } from './errors.js';
import { assertLog, withLog } from './open-log.js';
import { withProgress } from './progress.js';
import { runningCore } from './running-core.js';
import { onStderr } from './stderr-logger.js';

/** How long to wait for a core that is stopping, in milliseconds; one that still runs then is asked to do the work. */
const LOCK_WAIT_MS = 200;

/** The options of `sheratan replay`. */
export interface ReplayOptions {
  /** Delete the projection's file first; for a file that does not belong to this log. */
  readonly reset: boolean;
  /** Drop the previous generation afterwards. */
  readonly prune: boolean;
}

/**
 * `sheratan replay`: rebuilds a projection from the log. If a core runs on the data folder, that core does it beside its live
 * tables; otherwise this process does. Resolves with the exit code. @throws CliError
 */
export async function runReplay(
  name: string,
  options: ReplayOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const projection = PROJECTIONS.get(name);
  if (projection === undefined)
    throw new CliError(`There is no projection '${name}'. Name one of: ${[...PROJECTIONS.keys()].join(', ')}.`);
  const paths = corePaths(config.dataDir);
  await assertLog(config);
  await mkdir(paths.folder, { recursive: true });
  const lock = await ProcessLock.take(paths.missionsLock, LOCK_WAIT_MS);
  if (lock === undefined) {
    if (options.reset || options.prune)
      throw new CliError('A core runs on this data folder. Stop it before you use --reset or --prune.');
    return replayInCore(name, config, print);
  }
  try {
    return await replayHere(projection, options, config, print);
  } finally {
    await lock.release();
  }
}

async function replayHere(
  projection: Projection,
  { reset, prune }: ReplayOptions,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  const path = corePaths(config.dataDir).projection(projection.name);
  if (reset) await discard(path, config, print);
  return withLog(config, false, async (log) => {
    const startedAt = performance.now();
    const { digest, position } = await withProgress('replay', (update) =>
      replay({ path, projection, log, prune }, update, onStderr('error')),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    print(`${projection.name}: replayed up to ${log.logId}:${position} in ${seconds.toFixed(1)} s`);
    print(`digest ${digest}`);
    return 0;
  });
}

/**
 * Deletes the projection's file. If the log has lost events that the projection has folded, the log gets a new id, so that
 * positions of lost events are not taken for positions of later events.
 */
async function discard(path: string, config: Config, print: (line: string) => void): Promise<void> {
  const { logId, hasLost } = await withLog(config, false, async (log) => ({
    logId: log.logId,
    hasLost: await hasLostEvents(path, log),
  }));
  if (hasLost) {
    print(
      `log ${logId} has lost events: its new id is ${await renameLog(config, onStderr('warn'))}, and positions of ${logId} are refused`,
    );
  }
  await deleteProjection(path);
}

interface ProjectionAnswer {
  readonly name: string;
  readonly state: ReplayStatus['state'];
  readonly position: string;
  readonly head: string;
  readonly digest: string;
  readonly error: { readonly message: string } | null;
}

async function replayInCore(name: string, config: Config, print: (line: string) => void): Promise<number> {
  const ask = await runningCore(config);
  const { rebuildProjection: started } = await ask<{ rebuildProjection: { message?: string } }>(
    `mutation { rebuildProjection(name: "${name}") { ... on Problem { message } } }`,
  );
  if (started.message !== undefined) throw new CliError(started.message);
  const fields = 'name state position head error { message }';
  const read = async () => {
    const { projections } = await ask<{ projections: ProjectionAnswer[] }>(`{ projections { ${fields} } }`);
    const found = projections.find((projection) => projection.name === name);
    if (found === undefined) throw new CliError(`The running core has no projection '${name}'.`);
    return { ...found, position: place(found.position), head: place(found.head) };
  };
  const status = await withProgress('replay', (update) => awaitReplay(read, update));
  if (status.error !== null) throw new CliError(`${name} halted: ${status.error.message}`);
  const { projections } = await ask<{ projections: ProjectionAnswer[] }>('{ projections { name digest } }');
  print(`${name}: replayed by the running core up to ${status.position}`);
  print(`digest ${projections.find((projection) => projection.name === name)?.digest ?? ''}`);
  return 0;
}

function place(token: string): bigint {
  return BigInt(token.slice(token.indexOf(':') + 1));
}
