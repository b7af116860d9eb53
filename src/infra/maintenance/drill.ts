import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { missions } from '../../projections/missions.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { compareLogs } from '../offgrid/restore/compare-logs.js';
import type { AcceptedHistory, ReadHistory } from '../offgrid/restore/history-reader.js';
import type { Clock } from '../platform/clock.js';
import { digestAt } from '../projector/verify.js';
import { readFromHosts, type HostsRequest } from './read-from-hosts.js';
import { ScratchLogs } from './scratch-logs.js';
import type { Watch } from './watch.js';

/** A drill beside a core that may run. */
export interface DrillRequest extends HostsRequest {
  /** Where the scratch folder is made and deleted again. */
  readonly dataDir: string;
  /** How many events this core knows to be at quorum. */
  readonly quorum: number;
  /** Opens the log of this core for some work. */
  readonly withLog: <R>(work: (log: EventLog) => Promise<R>) => Promise<R>;
}

/** Receives the progress of a drill. */
export interface DrillWatch extends Watch {
  readonly onRead: (read: ReadHistory | AcceptedHistory) => void;
}

/** How what hosts give back compares with this core. */
export type DrillResult =
  /** The event after the first `same` ones is a different event. */
  | { readonly verdict: 'OTHER_EVENT'; readonly same: number }
  /** The hosts have `length` events, and this log has only the first `same` of them. */
  | { readonly verdict: 'OLDER'; readonly same: number; readonly length: number }
  /**
   * SAME: a restore would give back this core's history. OTHER_DIGEST: the same events give another digest of missions here.
   * TOO_FEW: fewer events come back than this core knows to be at quorum.
   */
  | {
      readonly verdict: 'SAME' | 'OTHER_DIGEST' | 'TOO_FEW';
      readonly length: number;
      /** Digests of missions. */
      readonly theirs: string;
      readonly ours: string;
    };

/**
 * Restores into a scratch folder, and compares event by event and by the digest of missions. It claims nothing at the hosts
 * and writes only to the scratch folder, which it deletes.
 * @throws RestoreError when nothing may be read; LogError
 */
export async function drill(
  { dataDir, quorum, withLog, ...request }: DrillRequest,
  watch: DrillWatch,
  clock: Clock,
): Promise<DrillResult> {
  const scratch = await mkdtemp(join(dataDir, '.drill-'));
  const logs = new ScratchLogs(scratch, clock);
  const digest = (what: string, log: EventLog, position: bigint) =>
    digestAt(scratch, missions, log, position, (done, total) => {
      watch.onProgress(what, 'positions', Number(done), Number(total));
    });
  try {
    const read = await readFromHosts(request, logs, watch, clock);
    const { log, length } = read;
    watch.onRead(read);
    const [{ same, isOther }, ours] = await withLog(async (own) => {
      const compared = await compareLogs(log, length, own, (done, of) => {
        watch.onProgress('comparison', 'events', done, of);
      });
      const isAll = compared.same === length;
      return [compared, isAll ? await digest('digest of this core', own, compared.position) : ''] as const;
    });
    if (isOther) return { verdict: 'OTHER_EVENT', same };
    if (same < length) return { verdict: 'OLDER', same, length };
    const theirs = await digest('digest of the hosts', log, await log.head());
    const verdict = theirs !== ours ? 'OTHER_DIGEST' : length < quorum ? 'TOO_FEW' : 'SAME';
    return { verdict, length, theirs, ours };
  } finally {
    await logs.close();
    await rm(scratch, { recursive: true, force: true });
  }
}
