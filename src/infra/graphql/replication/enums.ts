import type { ProofKind } from '../../../domain/replication.js';
import type { HaltReason } from '../../../domain/writer.js';
import type { NotReplicated, SettableState } from '../../offgrid/replication/operations.js';
import type { EntryStatus } from '../../readmodels/outbox/entry-queries.js';
import { enumOf } from '../kit/enum.js';

/** The states that an operator can set, as the schema shows them. */
export const SettableHostStateEnum = enumOf<SettableState>({
  name: 'SettableHostState',
  description: 'An operator can set these states of a host; the core sets the others automatically.',
  values: {
    ACTIVE: 'The host takes events.',
    SUSPENDED: 'The host counts for nothing until it is set to ACTIVE.',
    RETIRED: 'The host is permanently removed.',
  },
});

/** The kinds of proof against a host, as the schema shows them. */
export const ProofKindEnum = enumOf<ProofKind>({
  name: 'HostProofKind',
  description:
    'A host proves itself dishonest in one of these ways, each time by its own signature over the right request.',
  values: {
    STATEMENT:
      'The head of the host contains something that this origin has not signed, or a tree that is not complete.',
    BATCH: 'The head that the host signed in answer to a batch does not contain the batch.',
    CLAIM: 'The head that the host signed in answer to a claim grants another claim.',
    RANK: 'The head of the host ranks below one that was counted before: the host lost, or hides, events that it signed for.',
  },
});

/** The reasons why a core takes no more commands, as the schema shows them. */
export const StopCodeEnum = enumOf<HaltReason['code']>({
  name: 'ReplicationStopCode',
  description: 'A core stops taking commands for one of these reasons.',
  values: {
    FORKED:
      'A host shows events of the epoch in which this log was last elected, and they are not in this log: a copy of the log continued, or one process runs twice.',
    BEHIND: 'A host shows events that were signed later, or that were at quorum, and they are not in this log.',
  },
});

/** The reasons why a core ships nothing, as the schema shows them. */
export const RefusalCodeEnum = enumOf<NotReplicated>({
  name: 'ReplicationRefusal',
  description: 'A core ships nothing for one of these reasons, which do not concern the hosts.',
  values: {
    OTHER_ORIGIN: 'The log belongs to another origin than SHERATAN_ORIGIN names.',
    OTHER_ROOT_KEY: 'The log is sealed with another root key than the one in the keyring.',
    KEYRING_MISSING: 'The keyring is missing, and the log is sealed with its key.',
  },
});

/** The statuses of a replicated event, as the schema shows them. */
export const OutboxStatusEnum = enumOf<EntryStatus>({
  name: 'OutboxStatus',
  description: 'The status of a replicated event shows whether a quorum has signed for it.',
  values: {
    PENDING: 'No quorum has signed for the event yet.',
    COMPLETED: 'A quorum has signed for the event. It remains COMPLETED until a new line begins.',
  },
});

/** Whether a quorum has signed for every event of a mission itself. */
export type MissionReplicationState = 'PENDING' | 'REPLICATED';

/** The states of the replication of a mission, as the schema shows them. */
export const MissionReplicationStateEnum = enumOf<MissionReplicationState>({
  name: 'MissionReplicationState',
  description: 'This state covers the events of a mission itself, without those of its tasks and jobs.',
  values: {
    PENDING: 'No quorum has signed for some of the events yet.',
    REPLICATED: 'A quorum has signed for all of the events.',
  },
});
