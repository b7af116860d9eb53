import type { Durability } from '../../services/core-services.js';
import { enumOf } from './enum.js';

/** The levels of durability, as the schema shows them. */
export const ConsistencyEnum = enumOf<Durability>({
  name: 'Consistency',
  description: 'A change has one of these levels of durability; each level includes the ones listed before it.',
  values: {
    APPENDED: 'The change is on the disk of this log.',
    PROJECTED: 'Queries show the change.',
    REPLICATED: 'A quorum of storage hosts has signed for the change.',
  },
});

/** The `consistency` of a mutation. */
export const CONSISTENCY_ARG = {
  nullable: true,
  defaultValue: 'PROJECTED',
  description:
    'The mutation waits until its change is this durable: at most 10 s for queries, and at most SHERATAN_REPLICATED_TIMEOUT (10 s by default) for storage hosts. `durability` in the payload states the level that was reached in time. The default is PROJECTED.',
} as const;
