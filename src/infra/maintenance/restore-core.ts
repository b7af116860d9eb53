import { writeKeyring } from '../crypto/keyring-file.js';
import { appendFact } from '../offgrid/replication/replication-events.js';
import { WriterFile } from '../offgrid/replication/writer-file.js';
import type { AcceptedHistory, ReadHistory } from '../offgrid/restore/history-reader.js';
import { restoredFact, restoredWriter } from '../offgrid/restore/restore.js';
import { StagingFolder } from '../offgrid/restore/staging-folder.js';
import type { Clock } from '../platform/clock.js';
import { newId } from '../platform/ids.js';
import type { Logger } from '../platform/logger.js';
import { buildModels, type BuildWatch } from './build-models.js';
import { readFromHosts, type HostsRequest } from './read-from-hosts.js';
import { ScratchLogs } from './scratch-logs.js';

/** The actor of the event that a restore itself records. */
const ACTOR = 'process:restore';

/** A core to restore. */
export interface CoreRestore extends HostsRequest {
  /** The core's folder, which holds at most a keyring. */
  readonly folder: string;
  /** Wraps the keyring that is written; undefined: only the permissions of the file protect it. */
  readonly passphrase: string | undefined;
}

/** Receives the progress of a restore. */
export interface RestoreWatch extends BuildWatch {
  /** The history was read and verified; the read models are built next. */
  readonly onRead: (read: ReadHistory | AcceptedHistory) => void;
  /** @param digest of missions */
  readonly onModels: (digest: string) => void;
}

/**
 * Restores a core from hosts: log, read models, keyring and writer. There is a complete core in the folder when this
 * resolves, and none when it rejects, or is killed. Resolves with the number of events.
 * @throws RestoreError when the folder holds a core, or nothing may be read; MaintenanceError; KeyringError
 */
export async function restoreCore(
  { folder, passphrase, ...request }: CoreRestore,
  watch: RestoreWatch,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<number> {
  const { origin, dishonestWeight, root } = request;
  const staging = await StagingFolder.open(folder);
  const { paths } = staging;
  const logs = new ScratchLogs(paths.folder, clock);
  try {
    const read = await readFromHosts(request, logs, watch, clock);
    watch.onRead(read);
    const by = { at: clock.now().toISOString(), actor: ACTOR, correlationId: newId() };
    await appendFact(read.log, restoredFact(read, { origin, dishonestWeight }), by);
    watch.onModels(await buildModels(paths, read.log, watch, logger));
    await logs.keep(read.log, paths.log);
    await writeKeyring(paths.keyring, root, passphrase);
    await new WriterFile(paths.writer).save(restoredWriter(read));
    await staging.finish();
    return read.length;
  } catch (error) {
    await logs.close().catch(() => undefined);
    await staging.discard();
    throw error;
  }
}
