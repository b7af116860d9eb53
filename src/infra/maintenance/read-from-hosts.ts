import { HostClients } from '../offgrid/protocol/host-clients.js';
import type { AcceptedHistory, ReadHistory } from '../offgrid/restore/history-reader.js';
import { readBack, type RestoreRequest } from '../offgrid/restore/restore.js';
import { systemTime, type Clock } from '../platform/clock.js';
import type { ScratchLogs } from './scratch-logs.js';
import type { Watch } from './watch.js';

/** A history that is read back over the network. */
export interface HostsRequest extends RestoreRequest {
  /** The key that the core shares with its hosts. */
  readonly authKey: string;
}

/** Reads a history back from hosts into scratch logs. The same trouble is reported once. @throws RestoreError */
export async function readFromHosts(
  { authKey, ...request }: HostsRequest,
  logs: ScratchLogs,
  { onProgress, onTrouble }: Watch,
  clock: Clock,
): Promise<ReadHistory | AcceptedHistory> {
  const clients = new HostClients(authKey, clock);
  // Several histories can have the same fault.
  const reported = new Set<string>();
  try {
    return await readBack(request, {
      clientOf: (url, host) => clients.of(url, host),
      newLog: () => logs.next(),
      time: systemTime(clock),
      onProgress: (what, done, of) => {
        onProgress(what, what, done, of);
      },
      onTrouble: (message) => {
        if (!reported.has(message)) onTrouble(message);
        reported.add(message);
      },
    });
  } finally {
    clients.close();
  }
}
