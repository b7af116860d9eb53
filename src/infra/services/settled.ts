import type { Services } from './services.js';

/** How long the read model may take to show what was recorded, in milliseconds. */
const SETTLE_MS = 5_000;

/** Waits until the read model shows all that is recorded; false when that takes too long, or the signal ends it. */
export async function settled(
  { missions, log }: Pick<Services, 'missions' | 'log'>,
  stopping: AbortSignal,
): Promise<boolean> {
  const head = await log.head();
  if (stopping.aborted) return false;
  return new Promise((resolve, reject) => {
    const giveUp = () => resolve(false);
    stopping.addEventListener('abort', giveUp, { once: true });
    void missions
      .reaches(head, SETTLE_MS)
      .then(resolve, reject)
      .finally(() => stopping.removeEventListener('abort', giveUp));
  });
}
