import { setTimeout as delay } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import { UnavailableError } from '@eventstore/db-client';
import { describe, expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { remedyFor, toLogError } from '../../../../src/infra/eventlog/eventstore/failures.js';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import type { StandIn } from '../../../support/eventstore/stand-in.js';
import { collect, newEvent, newEvents, newStream, revisionsTo } from '../../../support/events.js';
import { Random } from '../../../support/random.js';
import { positionsIn, seed, seedForeign, start } from './setup.js';

/** The most times that connections are broken. */
const MAX_TEARS = 100;
/** Events that break a read, or replace the client that reads. */
const TEARS: Readonly<Record<string, (server: StandIn, log: EventLog) => void>> = {
  'the connection breaks': (server) => server.drop(),
  'an append meets a timeout': (server, log) => {
    server.faults.onAppend('timeout');
    void log.append(newStream(), [newEvent()], 'any');
  },
  'an append meets a server that is unavailable': (server, log) => {
    server.faults.onAppend('unavailable');
    void log.append(newStream(), [newEvent()], 'any');
  },
};

describe('a read resumes where it stopped', () => {
  for (const [what, tear] of Object.entries(TEARS)) {
    it.each(['forward', 'backward'] as const)(
      `when ${what} in the middle of a long stream, read %s`,
      async (direction) => {
        const { server, log } = await start();
        seed(server, 3_000, ['mission-1']);
        const revisions: bigint[] = [];
        for await (const { revision } of log.readStream('mission-1', { direction })) {
          revisions.push(revision);
          if (revisions.length % 700 === 350) {
            tear(server, log);
            await delay(10);
          }
        }
        const all = revisionsTo(3_000);
        expect(revisions).toEqual(direction === 'forward' ? all : all.reverse());
      },
    );

    it(`when ${what} in the middle of a read of all streams`, async () => {
      const { server, log } = await start();
      seed(server, 5_000, ['mission-1', 'task-1']);
      const positions = positionsIn(server);
      const seen: bigint[] = [];
      for await (const { position } of log.readAll()) {
        seen.push(position);
        if (seen.length % 1_000 === 500) {
          tear(server, log);
          await delay(10);
        }
      }
      expect(seen).toEqual(positions);
    });

    it(`when ${what} during the search for the end of the log`, async () => {
      const { server, log } = await start();
      const { position } = await log.append('mission-1', newEvents(3), 'no-stream');
      seedForeign(server, 8_000);
      const heads = log.head();
      await delay(30);
      tear(server, log);
      const head = await heads;
      expect(head).toBeGreaterThanOrEqual(position);
      expect(positionsIn(server)).toContain(head);
    });
  }

  it('when it ends with a stream of one event', async () => {
    const { server, log } = await start();
    await log.append('mission-1', newEvents(1), 'no-stream');
    for (const direction of ['forward', 'backward'] as const) {
      server.faults.onRead('broken', 1, { events: 1 });
      expect(await collect(log.readStream('mission-1', { direction }))).toHaveLength(1);
    }
  });

  it('up to its limit', async () => {
    const { server, log } = await start();
    seed(server, 200, ['mission-1']);
    for (let events = 0; events < 50; events += 7) {
      server.faults.onRead('broken', 2, { events });
      const read = await collect(log.readStream('mission-1', { from: 10n, limit: 50 }));
      expect(read.map(({ revision }) => revision)).toEqual(revisionsTo(60).slice(10));
    }
    server.faults.clear();
    server.faults.onRead('broken', 2, { events: 20 });
    const backward = await collect(log.readStream('mission-1', { from: 59n, direction: 'backward', limit: 50 }));
    expect(backward.map(({ revision }) => revision)).toEqual(revisionsTo(60).slice(10).reverse());
  });
});

describe('a change is made once', () => {
  it('although connections keep breaking', async () => {
    const { server, log } = await start();
    const random = new Random(31);
    let isDone = false;
    const tearing = (async () => {
      // On a busy machine, no call might succeed between two breaks.
      for (let tears = 0; tears < MAX_TEARS && !isDone; tears += 1) {
        await delay(random.between(1, 40));
        server.drop();
      }
    })();
    const streams = Array.from({ length: 12 }, () => newStream());
    await Promise.all(
      streams.map(async (stream) => {
        for (let i = 0n; i < 20n; i += 1n) await log.append(stream, [newEvent()], i === 0n ? 'no-stream' : i - 1n);
      }),
    );
    isDone = true;
    await tearing;
    for (const stream of streams) {
      const stored = await collect(log.readStream(stream));
      expect(stored.map(({ revision }) => revision)).toEqual(revisionsTo(20));
    }
  });
});

describe('after an outage', () => {
  it('the first call is answered, for every kind of call', async () => {
    const calls: ((log: EventLog) => Promise<unknown>)[] = [
      (log) => log.append('mission-1', [newEvent()], 0n),
      (log) => log.head(),
      (log) => collect(log.readStream('mission-1')),
      (log) => collect(log.readAll()),
    ];
    await Promise.all(
      calls.map(async (call) => {
        const { server, log } = await start();
        await log.append('mission-1', [newEvent()], 'no-stream');
        await server.refuse();
        await delay(2_000);
        await server.accept();
        await call(log);
        // Also a call that is made during the outage.
        await server.refuse();
        const made = Promise.allSettled([call(log)]);
        await delay(1_000);
        await server.accept();
        expect(await made).not.toMatchObject([{ reason: { code: 'LOG_UNAVAILABLE' } }]);
      }),
    );
  });
});

describe('an error of gRPC, which has only a status code', () => {
  const raw = (code: number, details = 'something') =>
    Object.assign(new Error(`${code} SOMETHING: ${details}`), { code, details, metadata: new Metadata() });

  it.each([
    [14, 'reconnect', 'LOG_UNAVAILABLE'],
    [7, 'none', 'LOG_DENIED'],
    [16, 'none', 'LOG_DENIED'],
    [3, 'none', 'EVENT_INVALID'],
    [2, 'reconnect', 'LOG_UNAVAILABLE'],
    [4, 'reconnect', 'LOG_UNAVAILABLE'],
    [13, 'reconnect', 'LOG_UNAVAILABLE'],
  ])('%i has the right remedy and code', (code, remedy, logCode) => {
    expect(remedyFor(raw(code))).toBe(remedy);
    expect(toLogError(raw(code), readAddress('esdb://there'))).toMatchObject({ name: 'LogError', code: logCode });
  });

  it('has the same remedy as the error class that the client makes from it', () => {
    const error = raw(14);
    expect(remedyFor(error)).toBe(remedyFor(new UnavailableError(error as never)));
  });
});
