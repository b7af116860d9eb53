import type { ProofKind } from '../../../domain/replication.js';
import type { HaltReason } from '../../../domain/writer.js';
import type { NotReplicated, SettableState } from '../../offgrid/replication/operations.js';
import type { EntryStatus } from '../../readmodels/outbox/entry-queries.js';
import { enumOf } from '../kit/enum.js';

export const SettableHostStateEnum = enumOf<SettableState>({
  name: 'SettableHostState',
  description: 'The states that a host is given; the others it comes into by itself.',
  values: {
    ACTIVE: 'Takes events.',
    SUSPENDED: 'Counts for nothing until it is set to ACTIVE.',
    RETIRED: 'Gone for good.',
  },
});

export const ProofKindEnum = enumOf<ProofKind>({
  name: 'HostProofKind',
  description: 'By what a host has proven itself dishonest. Each rests on its own signature over the right request.',
  values: {
    STATEMENT: 'Its head holds what this origin has not signed, or a tree that is not complete.',
    BATCH: 'Its head in answer to a batch does not have it.',
    CLAIM: 'Its head in answer to a claim has granted another.',
    RANK: 'Its head ranks below one that was counted before: it lost, or hides, what it signed for.',
  },
});

export const StopCodeEnum = enumOf<HaltReason['code']>({
  name: 'ReplicationStopCode',
  description: 'Why this core takes no more commands.',
  values: {
    FORKED:
      'A host shows events of the epoch that this log was elected in last, which are not on it: a copy of it went on, or one process runs twice.',
    BEHIND: 'A host shows what was signed later, or what was at quorum, and it is not on this log.',
  },
});

export const RefusalCodeEnum = enumOf<NotReplicated>({
  name: 'ReplicationRefusal',
  description: 'Why nothing is shipped, though nothing is wrong with the hosts.',
  values: {
    OTHER_ORIGIN: 'The log is that of another origin than SHERATAN_ORIGIN.',
    OTHER_ROOT_KEY: 'The log is sealed with another root key than the keyring holds.',
    KEYRING_MISSING: 'The keyring is gone, and the log is sealed with its key.',
  },
});

export const OutboxStatusEnum = enumOf<EntryStatus>({
  name: 'OutboxStatus',
  description: 'Whether a quorum has signed for an event.',
  values: {
    PENDING: 'No quorum has signed for it yet.',
    COMPLETED: 'A quorum has signed for it; that stays so.',
  },
});

export type MissionReplicationState = 'PENDING' | 'REPLICATED';

export const MissionReplicationStateEnum = enumOf<MissionReplicationState>({
  name: 'MissionReplicationState',
  description: 'REPLICATED once a quorum has signed for every event of the mission itself.',
  values: {
    PENDING: 'No quorum has signed for some of them yet.',
    REPLICATED: 'A quorum has signed for all of them.',
  },
});
