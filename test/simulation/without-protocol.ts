import { vi } from 'vitest';
import type * as EventsAnswer from '../../src/infra/offgrid/protocol/events-answer.js';
import type * as TreeModule from '../../src/infra/offgrid/protocol/tree.js';
import type * as Replication from '../../src/domain/replication.js';
import { isWithout } from './controls.js';

/** Parts of the protocol, with what a control leaves out. */

const tree = await vi.importActual<typeof TreeModule>('../../src/infra/offgrid/protocol/tree.js');
const answer = await vi.importActual<typeof EventsAnswer>('../../src/infra/offgrid/protocol/events-answer.js');
const replication = await vi.importActual<typeof Replication>('../../src/domain/replication.js');

/** src/infra/offgrid/protocol/tree.js */
export const treeModule: typeof TreeModule = {
  ...tree,
  isComplete: (one) => isWithout('base') || tree.isComplete(one),
};

/** src/infra/offgrid/protocol/events-answer.js */
export const eventsAnswerModule: typeof EventsAnswer = {
  ...answer,
  decodeStoredEvents: (body) => {
    const events = answer.decodeStoredEvents(body);
    if (!isWithout('eachAlone') || events.every(({ sealed }) => sealed !== null)) return events;
    return events.map((event) => ({ ...event, sealed: null }));
  },
};

/** src/domain/replication.js */
export const replicationModule: typeof Replication = {
  ...replication,
  quorumUnder: (policies, reached) =>
    replication.quorumUnder(isWithout('policiesInPlay') ? policies.slice(-1) : policies, reached),
};
