import type { Logger } from '../platform/logger.js';

/** How long a stop may take, in milliseconds. */
const STOP_TIMEOUT_MS = 9_500;

/** Resolves with the first signal to stop; the end of the `sheratan up` that started this process counts as SIGTERM. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
    process.once('disconnect', () => resolve('SIGTERM'));
    // Listening to the channel alone must not keep the process going.
    process.channel?.unref();
  });
}

/** Waits for the signal and then stops. A stop of more than STOP_TIMEOUT_MS ends the process with exit code 1. */
export async function stopInTime(
  stopped: Promise<NodeJS.Signals>,
  logger: Logger,
  stop: () => Promise<void>,
): Promise<void> {
  const signal = await stopped;
  logger.info({ signal }, 'stopping');
  const watchdog = setTimeout(() => {
    logger.fatal('could not stop in time');
    process.exit(1);
  }, STOP_TIMEOUT_MS);
  await stop();
  clearTimeout(watchdog);
  logger.info('stopped');
}
