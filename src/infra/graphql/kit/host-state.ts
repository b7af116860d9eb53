import type { HostState } from '../../../domain/replication.js';
import { enumOf } from './enum.js';

export const HostStateEnum = enumOf<HostState>({
  name: 'HostState',
  description: 'How this core treats a storage host.',
  values: {
    ACTIVE: 'Takes events.',
    SUSPENDED: 'Has proven itself dishonest, or was set so: it counts for nothing until `setHostState` to ACTIVE.',
    BLOCKED:
      'Refuses an event, or has pinned another key for this origin; it is tried every ten minutes, and at once with `retryHost`.',
    FULL: 'Has no room; it is tried now and then, and at once with `retryHost`.',
    RETIRED: 'Gone for good.',
  },
});
