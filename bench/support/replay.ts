import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { progress } from './measure.js';
import { inScratch } from './scratch.js';

/** By the projector following the log, by its rebuild, or by hand. */
export type ReplayKind = 'ours' | 'by-hand' | 'rebuild';

/** A log, in a file or on a server. */
export interface ReplaySource {
  /** A path, or a url. */
  readonly place: string;
  readonly events: number;
}

/** The measurements of one replay. */
interface ReplayRun {
  readonly rate: number;
  readonly peakMiB: number;
  readonly digest: string;
}

const program = fileURLToPath(new URL('./replay-run.js', import.meta.url));

/** Replays a log into a `missions.db` of its own, in a process of its own. */
export function replayOnce(kind: ReplayKind, { place, events }: ReplaySource, digest = false): Promise<ReplayRun> {
  return inScratch(async (folder) => {
    const args = [program, kind, place, String(events), folder, digest ? 'digest' : 'no-digest'];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout) as ReplayRun;
  });
}

/** @throws Error when two kinds make different rows */
export async function assertSameRows(kinds: readonly ReplayKind[], source: ReplaySource): Promise<void> {
  const digests = [];
  for (const kind of kinds) digests.push((await replayOnce(kind, source, true)).digest);
  if (new Set(digests).size !== 1) throw new Error(`the rows differ: ${digests.join(', ')}`);
  progress(`the ${kinds.length} ways give the same rows`);
}
