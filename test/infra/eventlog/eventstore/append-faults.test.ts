import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { AppendResult, EventLog, ExpectedRevision, NewEvent } from '../../../../src/infra/eventlog/eventlog.js';
import type { AppendFault } from '../../../support/eventstore/faults.js';
import type { StandIn } from '../../../support/eventstore/stand-in.js';
import { tombstone } from '../../../support/eventstore/operator.js';
import { collect, idsOf, newEvents, newStream } from '../../../support/events.js';
import { idsIn, start } from './setup.js';

/** The possible faults, except for a missing answer, which takes long. */
const FAULTS: readonly AppendFault[] = [
  'dropBefore',
  'dropAfter',
  'timeout',
  'timeoutAfter',
  'unavailable',
  'notLeader',
  'notReady',
];

/** The number of events in a stream, and the revision that an append to it expects. */
const APPENDS: readonly { readonly before: number; readonly expected: ExpectedRevision }[] = [
  { before: 0, expected: 'no-stream' },
  { before: 0, expected: 'any' },
  { before: 3, expected: 2n },
  { before: 3, expected: 'any' },
  { before: 3, expected: 'exists' },
];

/** Makes an append that meets a fault, and asserts that it is stored once and its result is right. */
async function appendOnce(server: StandIn, log: EventLog, which: (typeof APPENDS)[number], fault: AppendFault) {
  const stream = newStream();
  const earlier = newEvents(which.before);
  if (which.before > 0) await log.append(stream, earlier, 'no-stream');
  const events = newEvents(3);
  server.faults.onAppend(fault);

  const { revision, position } = await log.append(stream, events, which.expected);

  const stored = await collect(log.readStream(stream));
  expect(idsOf(stored)).toEqual(idsOf([...earlier, ...events]));
  expect({ revision, position }).toEqual({ revision: stored.at(-1)?.revision, position: stored.at(-1)?.position });
  expect(server.store.streams.get(stream)?.records).toHaveLength(which.before + 3);
}

/** Makes the server forget the ids of earlier appends before every append, as a new leader does. */
function forgetAlways(server: StandIn): void {
  const next = server.faults.nextAppend.bind(server.faults);
  server.faults.nextAppend = () => {
    server.store.forgetRecentIds();
    return next();
  };
}

describe('an append that meets', () => {
  for (const fault of FAULTS) {
    it(`${fault} is stored once, at any expected revision`, async () => {
      await Promise.all(
        APPENDS.map(async (which) => {
          const { server, log } = await start();
          await appendOnce(server, log, which, fault);
        }),
      );
    });

    it(`${fault} is stored once although the server remembers no ids`, async () => {
      await Promise.all(
        APPENDS.map(async (which) => {
          const { server, log } = await start();
          forgetAlways(server);
          await appendOnce(server, log, which, fault);
        }),
      );
    });

    it(`${fault} twice is stored once`, async () => {
      const { server, log } = await start();
      server.faults.onAppend(fault);
      await appendOnce(server, log, { before: 0, expected: 'any' }, fault);
    });
  }
});

it('an append that is never answered is stored once and in order, at any expected revision', async () => {
  const alone = APPENDS.map(async (which) => {
    const { server, log } = await start();
    forgetAlways(server);
    const startedAt = performance.now();
    await appendOnce(server, log, which, 'stallAfter');
    expect(performance.now() - startedAt).toBeLessThan(9_000);
  });
  const among = async () => {
    const { server, log } = await start();
    server.faults.onAppend('stallAfter', 1, { after: 100 });
    const events = newEvents(200);
    await Promise.all(events.map((event, i) => log.append(`mission-${i}`, [event], 'no-stream')));
    expect(await idsIn(log)).toEqual(idsOf(events));
  };
  await Promise.all([...alone, among()]);
});

describe('an append that is sent again', () => {
  const REFUSALS: readonly { readonly before: number; readonly expected: ExpectedRevision; readonly code: string }[] = [
    { before: 0, expected: 'exists', code: 'WRONG_EXPECTED_REVISION' },
    { before: 0, expected: 4n, code: 'WRONG_EXPECTED_REVISION' },
    { before: 3, expected: 'no-stream', code: 'WRONG_EXPECTED_REVISION' },
    { before: 3, expected: 1n, code: 'WRONG_EXPECTED_REVISION' },
  ];
  it.each(['dropBefore', 'timeout', 'unavailable'] as const)(
    'after %s is refused as without the fault',
    async (fault) => {
      const { server, log } = await start();
      for (const { before, expected, code } of REFUSALS) {
        const stream = newStream();
        if (before > 0) await log.append(stream, newEvents(before), 'no-stream');
        server.faults.onAppend(fault);
        await expect(log.append(stream, newEvents(2), expected)).rejects.toMatchObject({
          code,
          actual: BigInt(before - 1),
        });
        expect(await collect(log.readStream(stream))).toHaveLength(before);
      }
      for (const expected of ['any', 'exists', 'no-stream', 2n] as const) {
        const stream = newStream();
        await log.append(stream, newEvents(3), 'no-stream');
        tombstone(server, stream);
        server.faults.onAppend(fault);
        await expect(log.append(stream, newEvents(1), expected)).rejects.toMatchObject({ code: 'STREAM_TOMBSTONED' });
      }
    },
  );

  it('finds the events that others appended meanwhile', async () => {
    const { server, log } = await start();
    for (const [fault, isThere] of [
      ['timeoutAfter', true],
      ['timeout', false],
    ] as const) {
      const stream = newStream();
      await log.append(stream, newEvents(1), 'no-stream');
      const [ours, pinned, theirs] = [newEvents(2), newEvents(2), newEvents(20)];
      const appending = log.append(stream, ours, 'any');
      await meets(server, fault);
      othersAppend(server, stream, theirs);
      await appending;
      const ids = idsOf(await collect(log.readStream(stream)));
      expect(ids.slice(1)).toEqual(idsOf(isThere ? [...ours, ...theirs] : [...theirs, ...ours]));

      const answered = Promise.allSettled([log.append(stream, pinned, 22n)]);
      await meets(server, fault);
      othersAppend(server, stream, newEvents(1));
      expect(await answered).toMatchObject([
        isThere
          ? { status: 'fulfilled', value: { revision: 24n } }
          : { status: 'rejected', reason: { code: 'WRONG_EXPECTED_REVISION', actual: 23n } },
      ]);
    }
  });
});

/** Resolves when the next append has met a fault, and has not been sent again yet. */
function meets(server: StandIn, fault: AppendFault): Promise<void> {
  const { faults } = server;
  faults.onAppend(fault);
  const next = faults.nextAppend.bind(faults);
  return new Promise((resolve) => {
    vi.spyOn(faults, 'nextAppend').mockImplementationOnce(() => {
      setImmediate(resolve);
      return next();
    });
  });
}

/** Appends the events of another writer, immediately. */
function othersAppend(server: StandIn, stream: string, events: readonly NewEvent[]): void {
  const json = Buffer.from('{}');
  server.store.seed(events.map(({ id, type }) => ({ stream, id, type, data: json, metadata: json })));
}

describe('200 appends that do not wait for each other', () => {
  /** Starts all appends, two of which meet a fault, and returns their events. */
  async function appendAll(
    fault: AppendFault,
    latency: number,
    append: (log: EventLog, event: NewEvent, i: number) => Promise<AppendResult>,
  ) {
    const { server, log } = await start({ latency });
    forgetAlways(server);
    for (let i = 0; i < 2; i += 1) server.faults.onAppend(fault, 1, { after: 60 });
    const events = newEvents(200);
    await Promise.all(events.map((event, i) => append(log, event, i)));
    return { events, log };
  }

  for (const fault of FAULTS) {
    it(`are in the log of one stream in the order of the calls, though two meet ${fault}`, async () => {
      const loose = await appendAll(fault, 0, (log, event) => log.append('mission-1', [event], 'any'));
      expect(await idsIn(loose.log)).toEqual(idsOf(loose.events));
      const pinned = await appendAll(fault, 0, (log, event, i) =>
        log.append('mission-1', [event], i === 0 ? 'no-stream' : BigInt(i - 1)),
      );
      expect(await idsIn(pinned.log)).toEqual(idsOf(pinned.events));
    });
  }

  for (const fault of ['dropBefore', 'dropAfter', 'timeoutAfter', 'unavailable', 'notLeader'] as const) {
    it(`are in the log of many streams in the order of the calls, though two meet ${fault}`, async () => {
      for (const latency of [0, 3]) {
        const { log, events } = await appendAll(fault, latency, (log, event, i) =>
          log.append(`mission-${i % 20}`, [event], 'any'),
        );
        expect(await idsIn(log)).toEqual(idsOf(events));
      }
    });
  }

  for (const fault of ['timeout', 'notReady'] as const) {
    it(`are in the log of many streams in the order of each stream, though two are answered with ${fault}`, async () => {
      const { log, events } = await appendAll(fault, 0, (log, event, i) =>
        log.append(`mission-${i % 20}`, [event], 'any'),
      );
      expect(new Set(await idsIn(log)).size).toBe(200);
      for (let stream = 0; stream < 20; stream += 1) {
        const ids = idsOf(await collect(log.readStream(`mission-${stream}`)));
        expect(ids).toEqual(idsOf(events.filter((_, i) => i % 20 === stream)));
      }
    });
  }

  const EVENTS: Readonly<Record<string, (server: StandIn, log: EventLog) => Promise<unknown>>> = {
    'a read has met a server that is unavailable': (server, log) => {
      server.faults.onRead('unavailable');
      return log.head();
    },
    'a read has met a node that does not lead': (server, log) => {
      server.faults.onRead('notLeader');
      return log.head();
    },
    'the connection was reset while there was no call': (server) => {
      server.drop();
      return delay(20);
    },
  };
  it.each(Object.entries(EVENTS))('are in the log in the order of the calls after %s', async (_, happen) => {
    const { server, log } = await start();
    const events = newEvents(50);
    for (let from = 0; from < events.length; from += 10) {
      const some = events.slice(from, from + 10);
      await Promise.all(some.map((event, i) => log.append(`mission-${from + i}`, [event], 'no-stream')));
      await happen(server, log);
    }
    expect(await idsIn(log)).toEqual(idsOf(events));
  });
});

describe('appends of one call', () => {
  it('are begun in order, and none after one has failed', async () => {
    const { log } = await start();
    const begun: string[] = [];
    let fail: (error: Error) => void = () => undefined;
    const failing = new Promise<AppendResult>((_, reject) => (fail = reject));
    vi.spyOn(log, 'append').mockImplementation((stream) => {
      begun.push(stream);
      return failing;
    });
    const appends = Array.from({ length: 1_000 }, () => ({
      stream: newStream(),
      events: newEvents(1),
      expected: 'any' as const,
    }));
    const all = log.appendAll(appends);
    await delay(50);
    const underWay = begun.length;
    fail(new Error('all together'));
    await expect(all).rejects.toThrow('all together');
    expect(underWay).toBe(200);
    expect(begun).toEqual(appends.slice(0, 200).map(({ stream }) => stream));
  });
});
