import { registerEnumType } from 'type-graphql';

export enum HostState {
  ACTIVE = 'ACTIVE',
  SUSPENDED = 'SUSPENDED',
  BLOCKED = 'BLOCKED',
  FULL = 'FULL',
  RETIRED = 'RETIRED',
}
registerEnumType(HostState, {
  name: 'HostState',
  valuesConfig: {
    ACTIVE: { description: 'Takes events.' },
    SUSPENDED: { description: 'Was caught lying, or set so: it counts for nothing until `setHostState` to ACTIVE.' },
    BLOCKED: { description: 'Refuses an event, and stands still there until `retryHost`.' },
    FULL: { description: 'Has no room; it is tried now and then, and at once with `retryHost`.' },
    RETIRED: { description: 'Gone for good.' },
  },
});

export enum SettableHostState {
  ACTIVE = 'ACTIVE',
  SUSPENDED = 'SUSPENDED',
  RETIRED = 'RETIRED',
}
registerEnumType(SettableHostState, {
  name: 'SettableHostState',
  description: 'The states that a host is given; the others it comes into by itself.',
});

export enum StopCode {
  FENCED = 'FENCED',
  FORKED = 'FORKED',
  BEHIND = 'BEHIND',
}
registerEnumType(StopCode, {
  name: 'ReplicationStopCode',
  valuesConfig: {
    FENCED: { description: 'Another core, with another log, writes for this origin.' },
    FORKED: { description: 'A host has another event of this origin in the place of one of this log.' },
    BEHIND: { description: 'The hosts have events of this origin that this log does not.' },
  },
});

export enum RefusalCode {
  OTHER_ORIGIN = 'OTHER_ORIGIN',
  OTHER_ROOT_KEY = 'OTHER_ROOT_KEY',
  KEYRING_MISSING = 'KEYRING_MISSING',
}
registerEnumType(RefusalCode, {
  name: 'ReplicationRefusal',
  valuesConfig: {
    OTHER_ORIGIN: { description: 'The log is that of another origin than SHERATAN_ORIGIN.' },
    OTHER_ROOT_KEY: { description: 'The log is sealed with another root key than the keyring holds.' },
    KEYRING_MISSING: { description: 'The keyring is gone, and the log is sealed with its key.' },
  },
});

export enum OutboxStatus {
  PENDING = 'PENDING',
  COMPLETED = 'COMPLETED',
}
registerEnumType(OutboxStatus, {
  name: 'OutboxStatus',
  valuesConfig: {
    PENDING: { description: 'No quorum has signed for it yet.' },
    COMPLETED: { description: 'A quorum has signed for it; that stays so.' },
  },
});

export enum MissionReplicationState {
  PENDING = 'PENDING',
  REPLICATED = 'REPLICATED',
}
registerEnumType(MissionReplicationState, {
  name: 'MissionReplicationState',
  description: 'REPLICATED once a quorum has signed for every event of the mission itself.',
});
