import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { encodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import type { StoredEvent } from '../../../../src/infra/offgrid/protocol/events-answer.js';
import { HostFailure } from '../../../../src/infra/offgrid/protocol/host-client.js';
import type { EventsQuery } from '../../../../src/infra/offgrid/protocol/queries.js';
import type { Time } from '../../../../src/infra/platform/clock.js';
import { ContentFetcher, MissingEventError } from '../../../../src/infra/offgrid/restore/content-fetcher.js';
import type { ContentSource } from '../../../../src/infra/offgrid/restore/content-sources.js';
import { EntryList } from '../../../../src/infra/offgrid/restore/entry-list.js';
import { History, ORIGIN } from '../../../support/offgrid/by-hand.js';

/** A clock that runs faster than real time by a factor. */
const faster = (times: number): Time => ({
  now: () => new Date(performance.now() * times),
  sleep: (ms, signal) => delay(ms / times, undefined, { signal }).catch(() => undefined),
  turn: () => delay(0),
  random: () => 0.5,
});
const time = faster(50);
/** For tests that wait for minutes, and do not measure seconds. */
const patient = faster(500);

const history = History.begin().on(600, { bytes: 200 });
const list = new EntryList(Buffer.concat(history.events.map((event) => encodeEntry(entryOf(event)))));

/** How a host reacts to a request; undefined: it answers. */
type Trick = (query: EventsQuery, signal: AbortSignal | undefined) => Promise<readonly StoredEvent[] | undefined>;

class Host implements ContentSource {
  readonly host: string;
  readonly reach: ContentSource['reach'];
  isSure = true;
  readonly asked: EventsQuery[] = [];
  readonly #trick: Trick;

  constructor(host: string, trick: Trick = () => Promise.resolve(undefined), head = history.length, staged = 0) {
    this.host = host;
    this.#trick = trick;
    this.reach = { head, staged };
  }

  readonly client = {
    events: async (_origin: string, query: EventsQuery, signal?: AbortSignal): Promise<readonly StoredEvent[]> => {
      this.asked.push(query);
      const answer = await this.#trick(query, signal);
      if (answer !== undefined) return answer;
      return this.page(query);
    },
  };

  /** What an honest host answers. */
  page({ of, after, limit, bytes }: EventsQuery, isWhole: (sequence: number) => boolean = () => true): StoredEvent[] {
    const page: StoredEvent[] = [];
    let sum = 0;
    for (const event of history.numbered(after + 1, Math.min(after + limit, this.reach[of]))) {
      sum += event.sealed.byteLength;
      if (page.length > 0 && sum > bytes) break;
      page.push(isWhole(event.sequence) ? event : { ...event, sealed: null });
    }
    return page;
  }
}

const forever: Trick = async (_query, signal) => {
  await delay(60_000, undefined, { ...(signal && { signal }) }).catch(() => undefined);
  throw new HostFailure('UNREACHABLE', 'It was given up.');
};

async function read(hosts: readonly Host[], { after = 0, to = history.length, pause = 0 } = {}) {
  const troubles: string[] = [];
  const fetcher = new ContentFetcher({
    origin: ORIGIN,
    time,
    onTrouble: (host, why) => troubles.push(`${host}: ${why}`),
  });
  const events = [];
  const begun = time.now().getTime();
  for await (const page of fetcher.read(list, { after, to }, hosts)) {
    events.push(...page.map(({ host: _, ...event }) => event));
    if (pause > 0) await delay(pause);
  }
  return { events, troubles, seconds: (time.now().getTime() - begun) / 1_000 };
}

/** The numbers that are read past the events that no host gives; negative: no host gives it. */
async function readPast(hosts: readonly Host[], lost: readonly number[] = []) {
  const troubles: string[] = [];
  const onTrouble = (host: string) => troubles.push(host);
  const fetcher = new ContentFetcher({ origin: ORIGIN, time: patient, onTrouble });
  const numbers: number[] = [];
  for await (const page of fetcher.readPast(list, { after: 0, to: history.length }, hosts, new Set(lost)))
    for (const { sequence, sealed } of page) numbers.push(sealed === null ? -sequence : sequence);
  return { numbers, troubles };
}

const numbered = (to: number, ...lost: readonly number[]) =>
  Array.from({ length: to }, (_, i) => (lost.includes(i + 1) ? -i - 1 : i + 1));

/** How often a host was asked for the same event. */
const times = ({ asked }: Host) =>
  [...new Set(asked.map(({ after }) => after))].map((page) => asked.filter(({ after }) => after === page).length);

describe('contents that no host gives', () => {
  const lacking = (name: string, ...lost: readonly number[]) =>
    new Host(name, (query) => Promise.resolve(new Host(name).page(query, (sequence) => !lost.includes(sequence))));

  it('are passed over, up to the last event that a host shows', async () => {
    const { numbers } = await readPast([lacking('a', 3, 9, 400), lacking('b', 9, 400, 401)]);
    expect(numbers).toEqual(numbered(600, 9, 400));
    const short = new Host('c', undefined, 100);
    expect((await readPast([short])).numbers).toEqual(numbered(100));
  });

  it('are not asked for when that is known', async () => {
    const { numbers, troubles } = await readPast([lacking('a', 9, 400)], [9, 400]);
    expect([numbers, troubles]).toEqual([numbered(600, 9, 400), []]);
    // They are not taken from a host that has them either.
    expect((await readPast([new Host('a')], [9, 400])).numbers).toEqual(numbered(600, 9, 400));
  });

  it('of a host that does not answer are waited for once, and not page by page', async () => {
    const silent = new Host('b', () => Promise.reject(new HostFailure('UNREACHABLE', 'It is down.')));
    const { numbers } = await readPast([lacking('a', 9, 200, 400, 590), silent]);
    expect(numbers).toEqual(numbered(600, 9, 200, 400, 590));
    // A page may be asked for twice before the first page that lacks something is reached.
    expect(times(silent).filter((count) => count > 2)).toHaveLength(1);
  });

  it('of a host that does not answer are waited for once, and not in each reading', async () => {
    const down = new Host('b', () => Promise.reject(new HostFailure('UNREACHABLE', 'It is down.')));
    const fetcher = new ContentFetcher({ origin: ORIGIN, time: patient, onTrouble: () => undefined });
    const asked: number[] = [];
    for (const lost of [3, 4, 5, 6]) {
      const pages = fetcher.readPast(list, { after: lost - 1, to: lost }, [lacking('a', lost), down], new Set());
      for await (const page of pages) expect(page.map(({ sealed }) => sealed)).toEqual([null]);
      asked.push(down.asked.splice(0).length);
    }
    expect(asked).toEqual([expect.toSatisfy((count: number) => count >= 4), 1, 1, 1]);
  });

  it('are not waited for of a host that has nothing of the origin any more', async () => {
    const refusal = { code: 'NOT_FOUND', message: 'There is nothing here.' } as const;
    const emptied = new Host('b', () => Promise.reject(new HostFailure('NOT_FOUND', refusal.message, { refusal })));
    const { numbers } = await readPast([lacking('a', 9, 200, 400, 590), emptied]);
    expect(numbers).toEqual(numbered(600, 9, 200, 400, 590));
    expect(times(emptied).filter((count) => count > 1)).toEqual([]);
  });
});

describe('contents', () => {
  it('are fetched in order, from all hosts at the same time, in pages that grow', async () => {
    const hosts = [new Host('a'), new Host('b')];
    const { events, troubles } = await read(hosts);
    expect(events).toEqual(history.numbered(1, 600));
    expect(troubles).toEqual([]);
    for (const { asked } of hosts) expect(asked.length).toBeGreaterThan(0);
    const [first, ...others] = hosts[0]!.asked;
    expect(first?.bytes).toBe(16 * 1024);
    expect(Math.max(...others.map(({ bytes }) => bytes))).toBeGreaterThan(16 * 1024);
  });

  it('can be fetched from one event to another, or not at all', async () => {
    expect((await read([new Host('a')], { after: 590, to: 595 })).events).toEqual(history.numbered(591, 595));
    expect((await read([new Host('a')], { after: 600 })).events).toEqual([]);
  });

  it('are taken from another where one is rotten, whichever that is', async () => {
    const rotten = (name: string, rest: number) =>
      new Host(name, function (query) {
        return Promise.resolve(new Host(name).page(query, (sequence) => sequence % 3 !== rest));
      });
    const { events } = await read([rotten('a', 0), rotten('b', 1), rotten('c', 2)]);
    expect(events).toEqual(history.numbered(1, 600));
  });

  it('are verified by their addresses', async () => {
    const wrong = new Host('liar', (query) =>
      Promise.resolve(new Host('x').page(query).map((event) => ({ ...event, sealed: history.events[0]!.sealed }))),
    );
    const { events, troubles } = await read([wrong, new Host('b')]);
    expect(events).toEqual(history.numbered(1, 600));
    expect(troubles[0]).toContain('liar: it does not give all of the events');
  });

  it('are fetched from where each host has them: the head, or the staged history', async () => {
    const [a, b] = [new Host('a', undefined, 300, 600), new Host('b', undefined, 400)];
    const { events, troubles } = await read([a, b]);
    expect(events).toEqual(history.numbered(1, 600));
    expect(troubles).toEqual([]);
    expect(b.asked.every(({ of, after }) => of === 'head' && after < 400)).toBe(true);
  });

  it('that no host gives are named', async () => {
    const without = (name: string) =>
      new Host(name, (query) => Promise.resolve(new Host(name).page(query, (sequence) => sequence !== 333)));
    const missing = read([without('a'), without('b')]);
    await expect(missing).rejects.toThrow(MissingEventError);
    await expect(missing).rejects.toMatchObject({ sequence: 333 });
  });

  it('that no host has are named: the first of them', async () => {
    await expect(read([new Host('a', undefined, 100)])).rejects.toMatchObject({ sequence: 101 });
    await expect(read([])).rejects.toMatchObject({ sequence: 1 });
  });

  it('are asked for again when the reason of the failure may pass', async () => {
    let times = 0;
    const host = new Host('a', () => {
      times += 1;
      if (times > 3) return Promise.resolve(undefined);
      const refusal = { code: 'BUSY', wait: 1, message: 'Later.' } as const;
      return Promise.reject(new HostFailure('BUSY', 'Later.', { refusal }));
    });
    const { events, troubles, seconds } = await read([host]);
    expect(events).toEqual(history.numbered(1, 600));
    expect(troubles).toHaveLength(3);
    expect(seconds).toBeGreaterThan(3);
  });

  it('are not waited for where a host has stalled: another is asked, within seconds', async () => {
    const { events, seconds } = await read([new Host('stalled', forever), new Host('b')]);
    expect(events).toEqual(history.numbered(1, 600));
    expect(seconds).toBeGreaterThan(5);
    expect(seconds).toBeLessThan(60);
  });

  it('are asked last of a host that let two pages time out', async () => {
    const slow = new Host('slow', async (query) => {
      if (query.after < 300 && slow.asked.length < 3) {
        await delay(100);
        throw new HostFailure('TIMEOUT', 'It takes too long.');
      }
      return undefined;
    });
    const steady = new Host('b', async () => {
      await delay(60);
      return undefined;
    });
    const { events } = await read([slow, steady]);
    expect(events).toEqual(history.numbered(1, 600));
    expect(slow.asked.length).toBe(2);
    expect((await read([slow])).events).toHaveLength(600);
  });

  it('are fetched from a host that let pages time out when no other has them', async () => {
    let times = 0;
    const slow = new Host('slow', () => {
      times += 1;
      return times <= 2 ? Promise.reject(new HostFailure('TIMEOUT', 'Slow.')) : Promise.resolve(undefined);
    });
    const { events } = await read([slow, new Host('empty', undefined, 0), new Host('short', undefined, 100)]);
    expect(events).toEqual(history.numbered(1, 600));
  });

  it('are asked of a host that may have them only where no other gives them, and it is not blamed', async () => {
    const lost = [3, 400];
    const sure = (name: string) =>
      new Host(name, (query) => Promise.resolve(new Host(name).page(query, (sequence) => !lost.includes(sequence))));
    const unsure = new Host('unsure');
    unsure.isSure = false;
    const { events, troubles } = await read([unsure, sure('a'), sure('b')]);
    expect(events).toEqual(history.numbered(1, 600));
    // One page for each of the two.
    expect(unsure.asked.map(({ after }) => after)).toEqual([2, 399]);
    unsure.asked.length = 0;
    expect((await read([unsure, new Host('c')])).events).toEqual(history.numbered(1, 600));
    expect(unsure.asked).toEqual([]);
    const other = new Host('other', (query) => Promise.resolve(new Host('other').page(query, () => false)));
    other.isSure = false;
    expect((await readPast([other, sure('a')])).numbers).toEqual(numbered(600, ...lost));
    expect(troubles.filter((text) => text.startsWith('unsure'))).toEqual([]);
    // It is asked for all where no other host has any.
    expect((await read([unsure])).events).toEqual(history.numbered(1, 600));
  });

  it('are waited for when a host returns', async () => {
    const from = performance.now();
    const gone = new Host('gone', () =>
      performance.now() - from < 600
        ? Promise.reject(new HostFailure('UNREACHABLE', 'Gone.'))
        : Promise.resolve(undefined),
    );
    expect((await read([gone])).events).toEqual(history.numbered(1, 600));
  });

  it('wait for those before them in a window', async () => {
    const large = History.begin().on(60, { bytes: 900_000 });
    const entries = new EntryList(Buffer.concat(large.events.map((event) => encodeEntry(entryOf(event)))));
    let given = 0;
    const source: ContentSource = {
      host: 'a',
      reach: { head: 60, staged: 0 },
      isSure: true,
      client: {
        events: (_origin, { after }) => {
          given = Math.max(given, after + 1);
          return Promise.resolve(large.numbered(after + 1, after + 1));
        },
      },
    };
    const fetcher = new ContentFetcher({ origin: ORIGIN, time, onTrouble: () => undefined });
    let taken = 0;
    for await (const page of fetcher.read(entries, { after: 0, to: 60 }, [source])) {
      taken += page.length;
      await delay(5);
      expect(given - taken).toBeLessThan(55);
    }
    expect(taken).toBe(60);
  });
});
