import pino from 'pino';
import type { Config } from '../app/config.js';
import { startNode } from '../app/node.js';
import { systemClock } from '../platform/clock.js';
import { stopInTime, stopSignal } from './stop.js';

/** Runs a core until a signal stops it (SIGINT, SIGTERM). Resolves with the exit code. */
export async function serve(config: Config, print: (line: string) => void): Promise<number> {
  const logger = pino({ level: config.logLevel, base: { process: 'core' } });
  const stopped = stopSignal();
  const starting = new AbortController();
  void stopped.then(() => starting.abort());
  const node = await startNode(config, { clock: systemClock, logger, signal: starting.signal }).catch(whenAborted);
  if (node === undefined) return 0;
  const lines = [
    `Sheratan is at ${node.url}`,
    `  playground  ${node.url}/playground/`,
    `  GraphQL     ${node.url}/graphql (HTTP and WebSocket)`,
    `  data        ${config.dataDir}`,
    ...(config.eventStore === undefined ? [] : [`  log         ${config.eventStore.shown}`]),
  ];
  // One write: a reader of the first line may close the output before the next.
  print(lines.join('\n'));
  await stopInTime(stopped, logger, () => node.stop());
  return 0;
}

/** An aborted start is not an error. */
function whenAborted(error: unknown): undefined {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
}
