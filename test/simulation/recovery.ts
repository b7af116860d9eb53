import { RestoreError } from '../../src/infra/offgrid/restore/errors.js';
import type { WantedPolicy } from '../../src/domain/policy.js';
import type { SimCore } from './core.js';
import type { SimHost } from './host.js';
import { check } from './invariants.js';
import { readHistory, restoredFolder, type Restored, type RestoreOptions } from './restore.js';
import type { World } from './world.js';

/** What is read back, and from which hosts. */
export interface RecoveryOptions {
  readonly hosts: readonly SimHost[];
  readonly acceptLoss?: boolean;
  readonly history?: string;
  /** What the restored core replicates to. */
  readonly wanted: WantedPolicy;
}

/** The result of a recovery. */
export type Recovery =
  | { readonly is: 'RESTORED'; readonly core: SimCore; readonly isLossy: boolean }
  | { readonly is: 'REFUSED'; readonly why: string };

/** Restores a core, on another machine, from some hosts. It is not started yet. @throws Violation */
export async function recover(world: World, options: RecoveryOptions): Promise<Recovery> {
  const { invariants, readings, isCalm } = world;
  const { acceptLoss = false, history, hosts, wanted } = options;
  const name = world.newName();
  world.note(
    () => `${name} reads back from ${hosts.map(({ index }) => index).join()}${acceptLoss ? ', with loss' : ''}`,
  );
  const reading = readingOf(world, name, hosts, { acceptLoss, ...(history === undefined ? {} : { history }) });
  const reportedBefore = invariants.reported.length;
  const restored = await attempt(reading);
  if (typeof restored === 'string') {
    // Roots depend on ids and keys that are new each time.
    world.note(() => `${name} refuses: ${restored.replace(/root [0-9a-f]{8}/g, 'its root')}`);
    return { is: 'REFUSED', why: restored };
  }
  const { read, log } = restored;
  const logHistory = log.history();
  world.note(() => `${name} has read ${log.length} events`);
  const isLossy = 'loss' in read;
  if (isLossy) {
    for (const one of invariants.reported) if (!invariants.histories.has(logHistory, one.history)) one.isLost = true;
  } else readings.onRead({ read, history: logHistory, reportedBefore, isCalm });
  return { is: 'RESTORED', core: world.newCore(restoredFolder(restored, reading), wanted), isLossy };
}

/**
 * Reads back beside a running core, as a drill does: what is read is on its log, and no shorter than its quorum.
 * @param isAlone whether no other core has ever been made from its log
 * @throws Violation
 */
export async function drill(
  world: World,
  core: SimCore,
  hosts: readonly SimHost[],
  isAlone: () => boolean,
): Promise<boolean> {
  const { invariants, readings, histories, isCalm } = world;
  const { quorum } = core.state;
  const reportedBefore = invariants.reported.length;
  const restored = await attempt(readingOf(world, world.newName(), hosts, { acceptLoss: false }));
  if (typeof restored === 'string' || 'loss' in restored.read) return false;
  const history = restored.log.history();
  const isWhole = readings.onRead({ read: restored.read, history, reportedBefore, isCalm });
  if (!isWhole || !isAlone() || invariants.isExcused) return true;
  const words = () => `a drill reads ${restored.log.length} events, of which ${core.name} had ${quorum} at quorum`;
  check(histories.has(core.log.history(), history), () => `${words()}: they are not on its log`);
  check(restored.log.length >= quorum, words);
  return true;
}

function readingOf(
  world: World,
  name: string,
  hosts: readonly SimHost[],
  { acceptLoss, history }: Pick<RestoreOptions, 'acceptLoss' | 'history'>,
): RestoreOptions {
  const { clock, random, histories, dishonest: dishonestWeight } = world;
  return {
    ...{ hosts, dishonestWeight, acceptLoss, clock, random, histories, life: { isOver: false } },
    ...(history === undefined ? {} : { history }),
    clientOf: (host, life) => world.clientFor(name, host, life),
    newLogId: () => `log${world.newName()}`,
    onTrouble: (message) => {
      world.note(() => `${name}: ${message}`);
    },
  };
}

/** What was read; or why nothing was read. */
async function attempt(options: RestoreOptions): Promise<Restored | string> {
  try {
    return await readHistory(options);
  } catch (error) {
    if (error instanceof RestoreError) return error.message;
    throw error;
  }
}
