import { describe, expect, it } from 'vitest';
import type { Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import type { HeardHost } from '../../../../src/infra/offgrid/restore/host-survey.js';
import { whyUnread, type UnreadHistory } from '../../../../src/infra/offgrid/restore/why-unread.js';

const root = (byte: number) => new Uint8Array(32).fill(byte);

function tree(changed: Partial<Tree> = {}): Tree {
  const rest = { base: 0, origin: 'o', writer: 'w', quorumRoot: root(0), begun: root(0), ts: Date.UTC(2026, 0, 2) };
  return { ...rest, ...{ line: 1, epoch: 3, sequence: 9, quorum: 7, root: root(0xaa) }, ...changed };
}

const heard = (host: string, shown: Tree | null) =>
  ({
    host,
    url: `http://${host}`,
    isPinned: true,
    head: { tree: shown && { value: shown }, staged: null },
  }) as HeardHost;

function why(what: Parameters<typeof whyUnread>[0], changed: Partial<UnreadHistory>): string {
  const nothing = { about: undefined, heard: [], suspended: new Set<string>(), dishonest: 0, mayAcceptLoss: true };
  return whyUnread(what, { ...nothing, policies: [], missing: undefined, ...changed });
}

describe('the message to an operator who must choose between histories', () => {
  it('names each history, when its origin signed it, and how much weight shows it', () => {
    const hosts = [heard('a', tree()), heard('b', tree({ root: root(0xbb), sequence: 8 }))];
    const named = (host: string, weight: number) => ({ host, weight, url: '', verifyKey: '', confirmed: true });
    const policies = [{ version: 1, required: 2, hosts: [named('a', 2), named('b', 1)] }];
    expect(why('FORK', { about: tree(), heard: hosts, policies })).toBe(
      'Two processes have written in epoch 3, and the hosts do not show which of their histories was at quorum: ' +
        'http://a (a, of weight 2) shows 9 events of epoch 3 in line 1, root aaaaaaaa, of which 7 were at quorum, signed at 2026-01-02T00:00:00.000Z; ' +
        'http://b (b) shows 8 events of epoch 3 in line 1, root bbbbbbbb, of which 7 were at quorum, signed at 2026-01-02T00:00:00.000Z. ' +
        'Make more hosts reachable, or choose one: --accept-loss --history <first 8 digits of its root>.',
    );
  });

  it('names where each of two lines of one number was begun', () => {
    const twins = [0x11, 0x22].map((byte) => tree({ line: 2, begun: root(byte), root: root(byte + 1) }));
    const message = why('LINE', { heard: twins.map((one, i) => heard(`h${i}`, one)) });
    expect(message).toMatch(
      /in line 2 \(begun with root 11111111\), root 12121212,.*in line 2 \(begun with root 22222222\)/,
    );
  });

  it('names each history first, however many hosts show the same, and states how many more there are', () => {
    const many = Array.from({ length: 12 }, (_, i) => heard(`h${i}`, tree()));
    const message = why('FORK', {
      about: tree(),
      heard: [...many, heard('other', tree({ root: root(1), sequence: 3 }))],
    });
    expect(message).toContain('(other) shows 3 events');
    expect(message.match(/ shows /g)).toHaveLength(8);
    expect(message).toContain('; 5 more. Make');
  });
});
