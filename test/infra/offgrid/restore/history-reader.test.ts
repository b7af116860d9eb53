import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ETYPES } from '../../../../src/domain/event.js';
import { MAX_HOLES } from '../../../../src/domain/history-hole.js';
import type { JsonObject } from '../../../../src/domain/json.js';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { seal } from '../../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { eventText } from '../../../../src/infra/offgrid/protocol/event-text.js';
import { encodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import type { NumberedEvent } from '../../../../src/infra/offgrid/protocol/event.js';
import type { Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { MissingEventError, type ContentFetcher } from '../../../../src/infra/offgrid/restore/content-fetcher.js';
import type { EntryCollector } from '../../../../src/infra/offgrid/restore/entry-collector.js';
import { EntryList } from '../../../../src/infra/offgrid/restore/entry-list.js';
import { HistoryReader } from '../../../../src/infra/offgrid/restore/history-reader.js';
import type { HeardHost } from '../../../../src/infra/offgrid/restore/host-survey.js';
import { LogBuilder } from '../../../../src/infra/offgrid/restore/log-builder.js';
import { ORIGIN } from '../../../support/offgrid/by-hand.js';
import { newFolder } from '../../../support/offgrid/host.js';

const ROOT = RootKey.generate();
const AT = 1_700_000_000_000;

/** An event of a history: a policy of hosts of which two are required, a host that is suspended, or a mission. */
type EventSpec =
  | { readonly policy: string; readonly version: number; readonly line?: number; readonly holes?: readonly number[] }
  | { readonly suspended: string }
  | string;

/** A history whose events are sealed as a core seals them. */
class TestHistory {
  readonly events: readonly NumberedEvent[];
  readonly list: EntryList;

  constructor(events: readonly NumberedEvent[]) {
    this.events = events;
    this.list = new EntryList(Buffer.concat(events.map((event) => encodeEntry(entryOf(event)))));
  }

  static of(specs: readonly EventSpec[]): TestHistory {
    const revisions = new Map<string, bigint>();
    const events = specs.map((one, i) => {
      const { type, stream, data } = eventOf(one);
      const revision = (revisions.get(stream) ?? -1n) + 1n;
      revisions.set(stream, revision);
      const metadata = { at: new Date(AT).toISOString(), actor: 'a', correlationId: 'c', causationId: 'c' };
      const id = crypto.randomUUID();
      const text = eventText({ id, stream, revision, type, data, metadata: { ...metadata, schemaVersion: 1 } });
      const place = { origin: ORIGIN, sequence: i + 1, etype: ETYPES[type], at: AT };
      return { ...place, ts: AT, sealed: new Uint8Array(seal(ROOT.firstDataKey, place, text)) };
    });
    return new TestHistory(events);
  }

  /** A history that continues this one's first events with other missions. */
  parting(at: number, ...others: readonly string[]): TestHistory {
    const filled = TestHistory.of([...Array.from({ length: at }, () => 'here'), ...others]);
    return new TestHistory([...this.events.slice(0, at), ...filled.events.slice(at)]);
  }

  tree(epoch: number, quorum = 0, sequence = this.events.length, line = 1): Tree {
    const [root, quorumRoot] = [this.list.rootAt(sequence)!, this.list.rootAt(quorum)!];
    const rest = { ts: 0, base: 0, line, origin: ORIGIN, writer: 'abc:12345678' };
    return { ...rest, root, quorumRoot, epoch, quorum, sequence, begun: this.list.rootAt(1)! };
  }
}

function eventOf(spec: EventSpec): { type: keyof typeof ETYPES; stream: string; data: JsonObject } {
  if (typeof spec === 'string') {
    const id = `${spec}-${crypto.randomUUID()}`;
    const data = { missionId: id, title: spec, description: '', metadata: {}, tags: [] };
    return { type: 'MissionCreated', stream: `mission-${id}`, data };
  }
  const stream = `replication-${ORIGIN}`;
  if ('suspended' in spec) {
    const data = { origin: ORIGIN, host: spec.suspended, state: 'SUSPENDED', sequence: 0, why: '' };
    return { type: 'HostStateChanged', stream, data };
  }
  const hosts = Array.from(spec.policy, (host) => ({ host, url: host, verifyKey: '', weight: 1, confirmed: true }));
  const { policy: _, ...set } = spec;
  return { type: 'ReplicationPolicySet', stream, data: { origin: ORIGIN, hosts, required: 2, ...set } };
}

const heard = (host: string, tree: Tree | null, staged: Tree | null = null) =>
  ({
    ...{ host, url: host, isPinned: true, client: {} },
    head: { tree: tree && { value: tree }, staged: staged && { value: staged }, claim: null },
  }) as unknown as HeardHost;

/**
 * Reads histories; no host gives an event that is `withheld`.
 * @param withheld called with how often the event was requested, and the number of the reading
 */
async function read(
  histories: readonly TestHistory[],
  hosts: readonly HeardHost[],
  withheld: (event: NumberedEvent, times: number, reading: number) => boolean = () => false,
  onTrouble: (message: string) => void = () => undefined,
) {
  const folder = await newFolder();
  const times = new Map<NumberedEvent, number>();
  let [logs, readings] = [0, 0];
  const collector = {
    listOf: ({ sequence, root }: Tree) =>
      Promise.resolve(histories.find(({ list }) => Buffer.from(list.rootAt(sequence) ?? []).equals(root))?.list),
  } as unknown as EntryCollector;
  function* given(list: EntryList, { after, to }: { readonly after: number; readonly to: number }) {
    const reading = (readings += 1);
    for (const event of histories.find((history) => history.list === list)!.events.slice(after, to)) {
      times.set(event, (times.get(event) ?? 0) + 1);
      yield { event, isWithheld: withheld(event, times.get(event)!, reading) };
    }
  }
  const fetcher: Pick<ContentFetcher, 'read' | 'readPast'> = {
    async *read(list, range) {
      for (const { event, isWithheld } of given(list, range)) {
        if (isWithheld) throw new MissingEventError(event.sequence);
        yield await Promise.resolve([{ ...event, host: 'a' }]);
      }
    },
    async *readPast(list, range, _sources, lost) {
      for (const { event, isWithheld } of given(list, range)) {
        const { sequence } = event;
        const absent = { ...list.at(sequence), sequence, sealed: null };
        yield await Promise.resolve([isWithheld || lost.has(sequence) ? absent : { ...event, host: 'a' }]);
      }
    },
  };
  const newLog = async () => {
    const log = await EmbeddedLog.open(join(folder, `${(logs += 1)}.db`), systemClock, { syncs: 'ON_CLOSE' });
    onTestFinished(() => log.close());
    return log;
  };
  const onProgress = () => undefined;
  const builder = new LogBuilder({ origin: ORIGIN, root: ROOT, newLog, fetcher, onProgress, onTrouble });
  return new HistoryReader({ heard: hosts, collector, builder, dishonest: 0, mayAcceptLoss: true, onTrouble });
}

const P1 = { policy: 'abc', version: 1 };
const P2 = { policy: 'def', version: 2 };

describe('a history', () => {
  it('is checked against its own policies, even if others were read in between', async () => {
    const x = TestHistory.of([P1, 'one', P2, 'two', 'three']);
    const y = x.parting(2, 'other', 'another');
    const hosts = [heard('a', x.tree(3, 5)), heard('b', y.tree(2)), heard('c', y.tree(2))];
    await expect((await read([x, y], hosts)).read()).rejects.toThrow(/too few hosts|were at quorum/);
    const enough = [...hosts, heard('d', x.tree(3, 5)), heard('e', x.tree(3, 5))];
    const { length, log, counted } = await (await read([x, y], enough)).read();
    expect([length, counted.length]).toEqual([5, 5]);
    expect(await log.head()).toBeGreaterThan(0n);
  });

  it('does not count hosts that it leaves suspended', async () => {
    const x = TestHistory.of([P1, 'one', { suspended: 'a' }]);
    const hosts = [heard('a', x.tree(1)), heard('b', x.tree(1))];
    await expect((await read([x], hosts)).read()).rejects.toThrow('too few hosts');
    const { counted, leftOut } = await (await read([x], [...hosts, heard('c', null)])).read();
    expect(counted.map(({ host }) => host)).toEqual(['b', 'c']);
    expect(leftOut).toMatchObject([{ host: { host: 'a' }, why: 'the history records that it was suspended' }]);
  });

  it('that a host stops giving while it is read again is not shortened', async () => {
    const x = TestHistory.of([P1, 'one', 'two']);
    const [y, z] = [x.parting(2, 'a', 'b'), x.parting(1, 'c', 'd', 'e', 'f')];
    const hosts = [heard('a', y.tree(2)), heard('b', z.tree(1)), heard('c', x.tree(1))];
    const gone = (event: NumberedEvent, times: number) => event === y.events[3] && times > 1;
    const reader = await read([x, y, z], hosts, gone);
    const accepted = await reader.readWithLoss(Buffer.from(y.tree(2).root).toString('hex')).catch((e: unknown) => e);
    expect(accepted).toMatchObject({ length: 4 });
  });

  it('whose entries no host gives is not taken, and does not keep another from being taken', async () => {
    const [x, unlisted] = [TestHistory.of([P1, 'one']), TestHistory.of([P1, 'lost', 'lost'])];
    const hosts = [heard('a', unlisted.tree(9)), heard('b', null, x.tree(1))];
    const accepted = await (await read([x], hosts)).readWithLoss(undefined);
    expect(accepted).toMatchObject({ length: 2, line: 2 });
  });

  it('that was chosen is taken, and no other in its place, although its first event is lost', async () => {
    const [x, y] = [TestHistory.of([P1, 'one']), TestHistory.of([P1, 'two', 'three'])];
    const lost = (event: NumberedEvent) => event === x.events[0];
    const hosts = [heard('a', x.tree(1)), heard('b', y.tree(2))];
    const chosen = (history: TestHistory) => Buffer.from(history.tree(1).root).toString('hex').slice(0, 8);
    const accepted = await (await read([x, y], hosts, lost)).readWithLoss(chosen(x));
    expect(accepted).toMatchObject({ length: 2, holes: [1], tree: { sequence: 2 } });
    const none = await read([x, y], hosts, (event) => x.events.includes(event));
    await expect(none.readWithLoss(chosen(x))).rejects.toThrow('No event that the hosts show');
  });

  it('is refused when more events are lost than there may be holes', async () => {
    const x = TestHistory.of([P1, 'one', ...Array.from({ length: MAX_HOLES + 1 }, () => 'lost'), 'last']);
    const lost = ({ sequence }: NumberedEvent) => sequence > 2 && sequence < x.events.length;
    const accepted = await (await read([x], [heard('a', x.tree(1))], lost)).readWithLoss(undefined);
    expect([accepted.length, accepted.holes]).toEqual([2, []]);
  });

  it('is taken past an event that is given while holes are planned, and withheld after', async () => {
    const x = TestHistory.of([P1, 'one', 'two', 'three', 'four']);
    const [, one, , three] = x.events;
    const gone = (event: NumberedEvent, times: number) => event === one || (event === three && times > 1);
    const accepted = await (await read([x], [heard('a', x.tree(1))], gone)).readWithLoss(undefined);
    expect([accepted.length, accepted.holes]).toEqual([5, [2, 4]]);
    expect(accepted.log).toBeDefined();
    const types = [];
    for await (const { type } of accepted.log.readAll()) types.push(type);
    const created = 'MissionCreated';
    expect(types).toEqual(['ReplicationPolicySet', 'HistoryHole', created, 'HistoryHole', created]);
  });

  it('is refused when hosts give one event after the other, and then withhold it', async () => {
    const x = TestHistory.of([P1, 'lost', ...Array.from({ length: 20 }, (_, i) => `${i}`)]);
    // The first two readings end at the second event. Then, in turns, holes are planned and events are fetched.
    const gone = (most: number) => (event: NumberedEvent, _: number, reading: number) =>
      event === x.events[1] || (reading % 2 === 0 && reading <= most && event.sequence === reading / 2 + 1);
    const often = await read([x], [heard('a', x.tree(1))], gone(16));
    await expect(often.readWithLoss(undefined)).resolves.toMatchObject({ length: 22, holes: [2, 3, 4, 5, 6, 7, 8, 9] });
    const always = await read([x], [heard('a', x.tree(1))], gone(Infinity));
    await expect(always.readWithLoss(undefined)).rejects.toThrow('repeatedly give events');
  });

  it('is taken up to an event that is not a declared hole, when that is given first and withheld later', async () => {
    const x = TestHistory.of([P1, 'one', 'two', { ...P1, version: 2, line: 2, holes: [2] }, 'three', 'four']);
    const gone = (event: NumberedEvent, times: number) => event.sequence === 2 || (event.sequence === 5 && times > 1);
    const hosts = ['a', 'b', 'c'].map((host) => heard(host, x.tree(1, 0, 6, 2)));
    const messages: string[] = [];
    const reader = await read([x], hosts, gone, (message) => messages.push(message));
    await expect(reader.read()).rejects.toThrow('no host gives event 5');
    expect(messages).toContainEqual(expect.stringContaining('no host gives event 5'));
  });

  it('that was read beside others is reported with those that were not taken', async () => {
    const x = TestHistory.of([P1, 'one']);
    const [left, right] = [x.parting(2, 'a', 'b'), x.parting(2, 'c')];
    const hosts = [heard('a', left.tree(1)), heard('b', right.tree(1)), heard('c', right.tree(1))];
    const messages: string[] = [];
    const { length } = await (await read([x, left, right], hosts, undefined, (one) => messages.push(one))).read();
    expect(length).toBe(3);
    expect(messages).toEqual([
      expect.stringMatching(
        /^Two processes have written in epoch 1\. .* it is read: 3 events.*Not taken: a \(a\) shows 4 events/,
      ),
    ]);
  });

  it('is chosen by digits of its root that no other has', async () => {
    const x = TestHistory.of([P1, 'one']);
    const reader = await read([x], [heard('a', x.tree(1))]);
    await expect(reader.readWithLoss('')).rejects.toThrow('No host shows a history');
    await expect(reader.readWithLoss('zz')).rejects.toThrow('No host shows a history');
  });
});
