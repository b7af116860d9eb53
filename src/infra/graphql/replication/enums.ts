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
    SUSPENDED: {
      description: 'Has proven itself dishonest, or was set so: it counts for nothing until `setHostState` to ACTIVE.',
    },
    BLOCKED: {
      description:
        'Refuses an event, or has pinned another key for this origin; it is tried every ten minutes, and at once with `retryHost`.',
    },
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

export enum ProofKind {
  STATEMENT = 'STATEMENT',
  BATCH = 'BATCH',
  CLAIM = 'CLAIM',
  RANK = 'RANK',
}
registerEnumType(ProofKind, {
  name: 'HostProofKind',
  description: 'By what a host has proven itself dishonest. Each rests on its own signature over the right request.',
  valuesConfig: {
    STATEMENT: { description: 'Its head holds what this origin has not signed, or a tree that is not complete.' },
    BATCH: { description: 'Its head in answer to a batch does not have it.' },
    CLAIM: { description: 'Its head in answer to a claim has granted another.' },
    RANK: { description: 'Its head ranks below one that was counted before: it lost, or hides, what it signed for.' },
  },
});

export enum StopCode {
  FORKED = 'FORKED',
  BEHIND = 'BEHIND',
}
registerEnumType(StopCode, {
  name: 'ReplicationStopCode',
  valuesConfig: {
    FORKED: {
      description:
        'A host shows events of the epoch that this log was elected in last, which are not on it: a copy of it went on, or one process runs twice.',
    },
    BEHIND: {
      description: 'A host shows what was signed later, or what was at quorum, and it is not on this log.',
    },
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
