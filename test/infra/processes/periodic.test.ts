import { expect, it } from 'vitest';
import { isProjected } from '../../../src/infra/processes/periodic.js';
import type { Projector } from '../../../src/infra/projector/projector.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';

/** A core whose read model shows everything, and which is told to stop while the end of its log is asked for. */
function stoppedMeanwhile(stopping: AbortController) {
  const log: Pick<EventLog, 'head'> = {
    head: () => {
      stopping.abort();
      return Promise.resolve(5n);
    },
  };
  const missions: Pick<Projector, 'reaches'> = { reaches: () => Promise.resolve(true) };
  return { log, missions } as { readonly log: EventLog; readonly missions: Projector };
}

it('does not go on to the next batch once it is told to stop, though the read model shows all', async () => {
  const stopping = new AbortController();
  expect(await isProjected(stoppedMeanwhile(stopping), stopping.signal)).toBe(false);
});
