import type { Logger } from '../platform/logger.js';

/** How long a stop may take, in milliseconds. */
const STOP_TIMEOUT_MS = 9_500;

/** Resolves with the first signal to stop. That `sheratan up` is gone, however it ended, is one too. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
    process.once('disconnect', () => resolve('SIGTERM'));
    // Listening to the channel alone must not keep the process going.
    process.channel?.unref();
  });
}

/** Waits until it is time to stop, and does so; a stop that takes too long ends the process. */
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
