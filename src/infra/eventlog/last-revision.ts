import type { EventLog } from './eventlog.js';

/** The revision of a stream's last event; −1 when it has none. @throws LogError as `readStream` does */
export async function lastRevision(log: Pick<EventLog, 'readStream'>, stream: string): Promise<bigint> {
  for await (const { revision } of log.readStream(stream, { direction: 'backward', limit: 1 })) return revision;
  return -1n;
}
