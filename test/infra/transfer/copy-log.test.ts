import { randomUUID } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Append, EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { readAddress } from '../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { copyLog, digestLog } from '../../../src/infra/transfer/copy-log.js';
import { collect, newEvent, newEvents, newStream } from '../../support/events.js';
import { truncate } from '../../support/eventstore/operator.js';
import { StandIn } from '../../support/eventstore/stand-in.js';
import { LogFolder } from '../../support/log-folder.js';
import { quiet } from '../../support/quiet.js';
import { Random } from '../../support/random.js';

async function onDisk(): Promise<EventLog> {
  const folder = await LogFolder.create();
  onTestFinished(() => folder.remove());
  return folder.open();
}

async function onServer(server?: StandIn): Promise<EventLog> {
  const standIn = server ?? (await StandIn.start());
  const log = await EventStoreLog.open(readAddress(standIn.url), quiet);
  onTestFinished(async () => {
    await log.close();
    if (server === undefined) await standIn.stop();
  });
  return log;
}

/** Appends events to interleaved streams, sometimes several at a time: a few hundred by default. */
async function fill(log: EventLog, appends = 150): Promise<void> {
  const random = new Random(7);
  const streams = Array.from({ length: 9 }, (_, i) => newStream(['mission', 'task', 'job'][i % 3]));
  for (let i = 0; i < appends; i += 50)
    await log.appendAll(
      Array.from({ length: Math.min(50, appends - i) }, () => ({
        stream: random.pick(streams),
        events: newEvents(random.between(1, 4)),
        expected: 'any',
      })),
    );
}

/** More appends than one call of `appendAll` has. */
const MANY = 1_500;
/** The most times that connections are broken. */
const MAX_TEARS = 40;

const ignore = () => undefined;

/** A log that accepts a number of appends, and then fails. */
function cutShort(log: EventLog, appends: number): EventLog {
  let left = appends;
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'appendAll')
        return async (all: readonly Append[]) => {
          const taken = all.slice(0, left);
          left -= taken.length;
          await target.appendAll(taken);
          if (taken.length < all.length) throw new Error('cut short');
        };
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

/** The events of a log, without their positions and recording times. */
async function contentOf(log: EventLog): Promise<object[]> {
  return (await collect(log.readAll())).map(({ position: _, recordedAt: __, ...event }) => event);
}

const PLACES = { disk: onDisk, server: () => onServer() };

describe('a copy of a log', () => {
  for (const from of ['disk', 'server'] as const) {
    for (const to of ['disk', 'server'] as const) {
      it(`from ${from} to ${to} has the same events in the same order, and the same digest`, async () => {
        const [source, target] = [await PLACES[from](), await PLACES[to]()];
        await fill(source);
        const count = (await contentOf(source)).length;

        expect(await copyLog(source, target, ignore)).toEqual({ copied: count, head: await source.head() });

        expect(await contentOf(target)).toEqual(await contentOf(source));
        const ours = await digestLog(source, await source.head(), ignore);
        expect(ours.events).toBe(count);
        expect(await digestLog(target, await target.head(), ignore)).toEqual(ours);
      });
    }
  }

  it('copies nothing the second time, and only new events later', async () => {
    const [source, target] = [await onDisk(), await onServer()];
    await fill(source);
    await copyLog(source, target, ignore);
    expect(await copyLog(source, target, ignore)).toMatchObject({ copied: 0 });
    await source.append(newStream(), newEvents(3), 'any');
    expect(await copyLog(source, target, ignore)).toMatchObject({ copied: 3 });
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  it('resumes where it was interrupted, at any point', async () => {
    const source = await onDisk();
    await fill(source, MANY);
    const events = await contentOf(source);
    const target = await onServer();
    const random = new Random(3);
    let cuts = 0;
    for (let isWhole = false; !isWhole;) {
      const cut = cutShort(target, random.between(100, 500));
      isWhole = await copyLog(source, cut, ignore).then(
        () => true,
        (error: unknown) => {
          expect(error).toEqual(new Error('cut short'));
          cuts += 1;
          return false;
        },
      );
      const copied = await contentOf(target);
      expect(copied).toEqual(events.slice(0, copied.length));
    }
    expect(cuts).toBeGreaterThan(3);
    expect(await contentOf(target)).toEqual(events);
  });

  it('keeps the order on a server that breaks connections', async () => {
    const server = await StandIn.start();
    onTestFinished(() => server.stop());
    const [source, target] = [await onDisk(), await onServer(server)];
    await fill(source, MANY);
    const { accepted } = server;
    // On a busy machine, no call might succeed between two breaks.
    let tears = 0;
    const tearing = setInterval(() => {
      if ((tears += 1) <= MAX_TEARS) server.drop();
    }, 100);
    await copyLog(source, target, ignore).finally(() => clearInterval(tearing));
    expect(server.accepted).toBeGreaterThan(accepted);
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  it('refuses a target that has other events, and leaves it unchanged', async () => {
    const [source, target] = [await onDisk(), await onDisk()];
    await fill(source);
    await target.append(newStream(), [newEvent()], 'any');
    await expect(copyLog(source, target, ignore)).rejects.toThrow(
      'The target does not have the same first events as the source: event 1 differs. Copy into an empty log, or one that an earlier copy of this source began.',
    );
    expect(await contentOf(target)).toHaveLength(1);
  });

  it('does not resume with a target that lacks an event', async () => {
    const source = await onDisk();
    await fill(source);
    const server = await StandIn.start({ maxAppendSize: 64 * 1024 });
    onTestFinished(() => server.stop());
    const target = await onServer(server);
    const large = newEvent({ data: { text: 'x'.repeat(100_000) } });
    const before = (await contentOf(source)).length;
    await source.append(newStream(), [large], 'no-stream');
    for (let i = 0; i < 20; i += 1) await source.append(newStream(), [newEvent()], 'no-stream');
    await expect(copyLog(source, target, ignore)).rejects.toMatchObject({ code: 'LOG_TOO_LARGE' });
    expect((await contentOf(target)).length).toBeGreaterThan(before);
    await expect(copyLog(source, target, ignore)).rejects.toThrow(`event ${before + 1} differs`);
  });

  it('reports that a truncated stream cannot be copied', async () => {
    const server = await StandIn.start();
    onTestFinished(() => server.stop());
    const [source, target] = [await onServer(server), await onDisk()];
    const stream = `mission-${randomUUID()}`;
    await source.append(stream, newEvents(5), 'no-stream');
    truncate(server, stream, 3);
    server.store.scavenge();
    await expect(copyLog(source, target, ignore)).rejects.toThrow(
      `Revision 3 of '${stream}' does not follow the events in the target`,
    );
  });
});

describe('the digest of a log', () => {
  it('differs when an event, its place or its content differs', async () => {
    const stream = newStream();
    const [first, second] = [newEvent(), newEvent()];
    const digestOf = async (...groups: (typeof first)[][]) => {
      const log = await onDisk();
      for (const events of groups) await log.append(stream, events, 'any');
      return (await digestLog(log, await log.head(), ignore)).digest;
    };
    const digest = await digestOf([first, second]);
    expect(await digestOf([first], [second])).toBe(digest);
    for (const other of [
      [second, first],
      [first],
      [first, { ...second, data: { title: 'Another' } }],
      [first, { ...second, id: randomUUID() }],
      [first, { ...second, metadata: { ...second.metadata, actor: 'another' } }],
    ]) {
      expect(await digestOf(other)).not.toBe(digest);
    }
  });
});
