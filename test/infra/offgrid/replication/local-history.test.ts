import { describe, expect, it } from 'vitest';
import { ownHistoryOf } from '../../../../src/infra/offgrid/replication/local-history.js';
import type { ReplicationState } from '../../../../src/infra/offgrid/replication/replication-state.js';

const state = (known: Partial<ReplicationState>) =>
  ({ ...{ line: 1, begun: 0, quorum: 0, isRestored: false, head: 10 }, ...known }) as ReplicationState;

describe('the local log, in the form for an election,', () => {
  it('counts as elected on what it had at its election, or on all that it had when its process began', () => {
    expect(ownHistoryOf(state({ elected: { epoch: 3, base: 7 } }), 9)).toMatchObject({ epoch: 3, base: 7 });
    expect(ownHistoryOf(state({}), 9)).toMatchObject({ epoch: 0, base: 9 });
    expect(ownHistoryOf(state({ line: 2, begun: 8, elected: { epoch: 0, base: 7 } }), 9)).toMatchObject({ base: 8 });
  });

  it('lacks events at its end when it was elected on more than it has: nothing is claimed', () => {
    const lacking = state({ elected: { epoch: 3, base: 11 } });
    expect(() => ownHistoryOf(lacking, 9)).toThrow(
      expect.objectContaining({
        code: 'LOG_CORRUPT',
        message: expect.stringMatching(
          /has 10 replicated events.* won an election with 11.*restore --repair/,
        ) as string,
      }) as Error,
    );
  });
});
