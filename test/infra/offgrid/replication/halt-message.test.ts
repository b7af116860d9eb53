import { expect, it } from 'vitest';
import type { Shown } from '../../../../src/domain/election.js';
import { haltMessage } from '../../../../src/infra/offgrid/replication/halt-message.js';

const shown: Shown = {
  ...{ sequence: 3, epoch: 4, line: 2, quorum: 2, writer: 'w' },
  ...{ isComplete: true, isOfOwnBeginning: true, isOnLog: false, isQuorumOnLog: true },
};
const copied = { line: 1, isRestored: false };
const restored = { line: 1, isRestored: true };

it.each(['BEHIND', 'FORKED'] as const)(
  '%s is reported for a copy, unless the log was restored without what the host shows',
  (news) => {
    const message = haltMessage({ news, by: 'host1', shown }, copied);
    expect(message).toMatch(/^Host host1 shows event 3 of epoch 4, .*(another core|a copy of it)/);
    expect(message).not.toContain('begin-line');
    expect(haltMessage({ news, by: 'host1', shown }, restored)).toMatch(
      /it was restored without these events.* restore again .* sheratan hosts begin-line/,
    );
    // The same when the restore lacks what was at quorum, or did not leave out what is shown.
    for (const changed of [{ isQuorumOnLog: false }, { isOnLog: true }])
      expect(haltMessage({ news, by: 'host1', shown: { ...shown, ...changed } }, restored)).toBe(message);
  },
);

it('LINE is reported for a line that was begun elsewhere, whether the log was restored or not', () => {
  const message = [copied, restored].map((own) => haltMessage({ news: 'LINE', by: 'host1', shown }, own));
  expect(new Set(message).size).toBe(1);
  expect(message[0]).toMatch(/this log is of line 1, .* sheratan hosts begin-line/);
});
