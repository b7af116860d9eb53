import type { HostState } from '../../../domain/replication.js';
import { enumOf } from './enum.js';

/** The states of a host, as the schema shows them. */
export const HostStateEnum = enumOf<HostState>({
  name: 'HostState',
  description: 'The state of a storage host decides how this core treats it.',
  values: {
    ACTIVE: 'The host takes events.',
    SUSPENDED:
      'The host has proven itself dishonest, or an operator suspended it. It counts for nothing until `setHostState` sets it to ACTIVE.',
    BLOCKED:
      'The host refuses an event, or has pinned another key for this origin. This core retries it every ten minutes; `retryHost` retries it immediately.',
    FULL: 'The host has no space left. This core retries it every minute; `retryHost` retries it immediately.',
    RETIRED: 'The host is permanently removed.',
  },
});
