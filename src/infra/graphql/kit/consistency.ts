import type { Durability } from '../../services/core-services.js';
import { enumOf } from './enum.js';

export const ConsistencyEnum = enumOf<Durability>({
  name: 'Consistency',
  description: 'How far a change has got when a mutation answers.',
  values: {
    APPENDED: 'On the disk of this log.',
    PROJECTED: 'Queries show it.',
    REPLICATED: 'A quorum of storage hosts has signed for it. The answer says what was reached in time.',
  },
});

/** The `consistency` of a mutation. */
export const CONSISTENCY_ARG = { nullable: true, defaultValue: 'PROJECTED' } as const;
