import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import { Blobs } from '../../../../src/infra/offgrid/host/blobs.js';
import { newIdentity } from '../../../../src/infra/offgrid/host/identity.js';
import { EventContents } from '../../../../src/infra/offgrid/host/event-contents.js';
import { HostFile } from '../../../../src/infra/offgrid/host/host-file.js';
import { Replica } from '../../../../src/infra/offgrid/host/replica.js';
import type { ReplicaStore } from '../../../../src/infra/offgrid/host/replica-store.js';
import { SqliteReplicaStore } from '../../../../src/infra/offgrid/host/sqlite-replica-store.js';
import { signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import { openHead } from '../../../../src/infra/offgrid/protocol/head.js';
import type { EventsQuery } from '../../../../src/infra/offgrid/protocol/queries.js';
import { openTree, type Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { verifyKey } from '../../../../src/infra/offgrid/protocol/verify-key.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { ORIGIN, Process, History } from '../../../support/offgrid/by-hand.js';

/** A replica on a store whose calls can be made to fail or to wait. */
async function setUp(chunkThreshold = 400) {
  const folder = await newFolder();
  const identity = await newIdentity().write(`${folder}/identity.pem`);
  const file = await HostFile.open(`${folder}/host.db`, identity.id, 1 << 30);
  const store = await SqliteReplicaStore.open(
    file,
    new EventContents(await Blobs.open(folder), chunkThreshold),
    systemClock,
  );
  const before = new Map<string, () => Promise<void>>();
  const troubled = new Proxy<ReplicaStore>(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        await before.get(String(name))?.();
        return member.apply(target, args);
      };
    },
  });
  const newReplica = () => new Replica(ORIGIN, { store: troubled, identity, clock: systemClock, origins: new Map() });
  const history = History.begin().on(6);
  const hostKey = verifyKey(Buffer.from(identity.verifyKey, 'base64'), 'the key of the host');
  const claim = async (replica: Replica, process: Process) => {
    const { epoch, writer, root } = process;
    const signed = signClaim({ host: identity.id, epoch, origin: ORIGIN, writer }, root.signingKey);
    await replica.claim({ key: process.key, claim: signed, challenge: new Uint8Array(16) }, sha256());
  };
  const ship = (replica: Replica, process: Process, history: History, from: number, changed: Partial<Tree> = {}) => {
    const tree = process.tree(history, history.length, changed);
    return replica.append({ from, tree, events: history.events.slice(from - 1) }, sha256());
  };
  const headLength = async (replica: Replica) => {
    const { tree } = openHead(await replica.head(sha256()), hostKey).value;
    return tree === null ? 0 : openTree(tree, new Process(history.root).key).value.sequence;
  };
  return { file, store, before, newReplica, history, claim, ship, headLength };
}

const page = { of: 'head', after: 0, limit: 1_000, bytes: 4_000_000 } as const;

/** Events with their contents as they are compared: a file is read as a Buffer. */
async function eventsOf(replica: Replica, query: EventsQuery) {
  const events = await replica.events(query);
  return events.map(({ sealed, ...rest }) => ({ ...rest, sealed: sealed && new Uint8Array(sealed) }));
}

describe('a replica', () => {
  it('that cannot read its store after a change does not use its previous state', async () => {
    const { file, before, newReplica, history, claim, ship } = await setUp();
    const replica = newReplica();
    const [first, second, third] = [1, 2, 3].map((epoch) => new Process(history.root, epoch)) as [
      Process,
      Process,
      Process,
    ];
    await claim(replica, first);
    await ship(replica, first, history, 1);
    await claim(replica, second);
    await ship(replica, second, history.on(4, { at: 4, name: 'b' }), 5, { base: 99 });
    await claim(replica, third);
    const staged = history.on(3, { at: 2, name: 'c' });
    before.set('load', () => Promise.reject(new Error('it cannot be read just now')));
    await expect(ship(replica, third, staged, 3, { base: 99 })).rejects.toThrow('just now');
    before.delete('load');
    await ship(replica, third, staged, 3, { base: 99 });
    expect(await eventsOf(replica, page)).toEqual(history.numbered(1, 6));
    expect(await eventsOf(replica, { ...page, of: 'staged' })).toEqual(staged.numbered(1, 5));
    await file.close();
  });

  it('does not use a state that was read before a change after it', async () => {
    const { file, before, newReplica, history, claim, ship, headLength } = await setUp();
    const process = new Process(history.root);
    const made = newReplica();
    await claim(made, process);
    await ship(made, process, history.on(0, { at: 3 }), 1);
    const replica = newReplica();
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let isFirst = true;
    before.set('load', async () => {
      if (!isFirst) return;
      isFirst = false;
      await held;
    });
    const reading = replica.events(page);
    const shipping = ship(replica, process, history, 4);
    letGo();
    await Promise.all([reading, shipping]);
    expect(await headLength(replica)).toBe(6);
    await file.close();
  });

  it('reads no more contents than it answers with', async () => {
    const { file, newReplica, history, claim, ship } = await setUp(1 << 30);
    const process = new Process(history.root);
    const replica = newReplica();
    await claim(replica, process);
    const long = history.on(40, { bytes: 100_000 });
    await ship(replica, process, history, 1);
    for (let at = 7; at <= 46; at += 10) await ship(replica, process, long.on(0, { at: at + 9 }), at);
    expect(await eventsOf(replica, { ...page, after: 6, bytes: 1 })).toEqual(long.numbered(7, 7));
    expect(await eventsOf(replica, { ...page, after: 5, bytes: 90_000 })).toEqual(long.numbered(6, 6));
    expect((await eventsOf(replica, { ...page, after: 6, bytes: 350_000 })).length).toBe(3);
    await file.close();
  });
});
