import { expect, it } from 'vitest';
import { haltMessage } from '../../../../src/infra/offgrid/replication/halt-message.js';
import type { Tree } from '../../../../src/infra/offgrid/protocol/tree.js';

const tree = { sequence: 3, epoch: 4, line: 2, quorum: 2 } as Tree;

it.each(['BEHIND', 'FORKED'] as const)(
  '%s is said of a copy, unless the log was restored without what is shown',
  (news) => {
    const said = haltMessage(news, 'host1', { line: 1, isRestored: false }, tree);
    expect(said).toMatch(/^Host host1 shows event 3 of epoch 4, .*another core|a copy of it/);
    expect(said).not.toContain('begin-line');
    expect(haltMessage(news, 'host1', { line: 1, isRestored: true }, tree)).toMatch(
      /it was restored without them.* restore again .* sheratan hosts begin-line/,
    );
  },
);

it('LINE is said of a line that was begun elsewhere, whether the log was restored or not', () => {
  const said = [true, false].map((isRestored) => haltMessage('LINE', 'host1', { line: 1, isRestored }, tree));
  expect(new Set(said).size).toBe(1);
  expect(said[0]).toMatch(/this log is of line 1, .* sheratan hosts begin-line/);
});
