import { expect, it } from 'vitest';
import { isProjected } from '../../../src/infra/processes/periodic.js';
import type { Projector } from '../../../src/infra/projector/projector.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';

/** A core whose read model shows everything, and which is stopped while the head of its log is read. */
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

it('does not continue with the next batch once it is stopped, although the read model shows all events', async () => {
  const stopping = new AbortController();
  expect(await isProjected(stoppedMeanwhile(stopping), stopping.signal)).toBe(false);
});
