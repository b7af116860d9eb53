import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { PlacedPolicy } from '../../../../src/domain/replication.js';
import { Election } from '../../../../src/infra/offgrid/replicator/election.js';
import type { WriterRecord, WriterStore } from '../../../../src/infra/offgrid/replicator/ports.js';
import type { SignedHead } from '../../../../src/infra/offgrid/wire/head.js';

const LOG = 'abcdef';
const HOSTS = ['a', 'b', 'c'];

/** Keeps the record as a disk would: a moment later. */
class SlowStore implements WriterStore {
  readonly saved: WriterRecord[] = [];
  #record: WriterRecord | undefined;

  constructor(record?: WriterRecord) {
    this.#record = record;
  }

  load(): Promise<WriterRecord | undefined> {
    return Promise.resolve(this.#record);
  }

  async save(record: WriterRecord): Promise<void> {
    for (let i = 0; i < 5; i += 1) await turn();
    this.#record = record;
    this.saved.push(record);
  }
}

/** Three hosts, of which so many must sign. */
function policy(required: number): readonly PlacedPolicy[] {
  const hosts = HOSTS.map((host) => ({ host, url: `http://${host}`, weight: 1, verifyKey: '' }));
  return [{ policy: { version: 1, required, hosts }, sequence: 1 }] as unknown as readonly PlacedPolicy[];
}

/** What a host had when it granted: so many events, the first `common` of which are ours. */
function having(host: string, sequence: number, common = sequence, epoch = 1) {
  return { head: { host, sequence, epoch } as SignedHead, common };
}

async function newElection(record?: WriterRecord) {
  const store = new SlowStore(record);
  let writers = 0;
  const election = await Election.open(store, LOG, () => `writer-${(writers += 1)}`);
  return { election, store };
}

describe('a writer', () => {
  it('claims the first epoch, and after a restart the one it had', async () => {
    const { election, store } = await newElection();
    expect(election.grant).toEqual({ epoch: 1, writer: `${LOG}:writer-1` });
    const again = await Election.open(store, LOG, () => 'never asked');
    expect(again.grant).toEqual(election.grant);
  });

  it('of another log claims a higher epoch than the one before', async () => {
    const { election } = await newElection({ epoch: 7, writer: 'others:x', isElected: true });
    expect(election).toMatchObject({ epoch: 8, isElected: false });
  });

  it('is elected once whatever a quorum has signed would be known to those who granted', async () => {
    const { election } = await newElection();
    await election.granted('a', 1, having('a', 0), policy(2));
    expect(election.isElected).toBe(false);
    await election.granted('b', 1, having('b', 0), policy(2));
    expect(election.isElected).toBe(true);
  });

  it('needs all of three where one alone may have signed', async () => {
    const { election } = await newElection();
    for (const host of ['a', 'b']) await election.granted(host, 1, having(host, 0), policy(1));
    expect(election.isElected).toBe(false);
    await election.granted('c', 1, having('c', 0), policy(1));
    expect(election.isElected).toBe(true);
  });

  it('is not elected by one host that grants twice, nor for an epoch that is over', async () => {
    const { election } = await newElection();
    for (let i = 0; i < 3; i += 1) await election.granted('a', 1, having('a', 0), policy(2));
    await election.granted('b', 0, having('b', 0), policy(2));
    expect(election.isElected).toBe(false);
  });

  it('is elected at no host at all before it knows of a policy', async () => {
    const { election } = await newElection();
    for (const host of HOSTS) await election.granted(host, 1, having(host, 0), []);
    expect(election.isElected).toBe(false);
  });

  it('stops where the best tail is not in its own log', async () => {
    const { election } = await newElection();
    await election.granted('a', 1, having('a', 9, 9), policy(2));
    await election.granted('b', 1, having('b', 5, 4, 2), policy(2));
    expect(election.stopped).toMatchObject({
      code: 'BEHIND',
      message: expect.stringContaining('A host (b) has 5 events'),
    });
    expect(election.isElected).toBe(false);
  });

  it('adopts a shorter tail of an older epoch for what it is: not the story', async () => {
    const { election } = await newElection();
    await election.granted('a', 1, having('a', 9, 9, 2), policy(2));
    await election.granted('b', 1, having('b', 12, 4, 1), policy(2));
    expect(election).toMatchObject({ isElected: true, stopped: undefined });
  });
});

describe('a writer that is fenced', () => {
  it('by its own log claims anew, above', async () => {
    const { election } = await newElection();
    await election.fenced({ epoch: 4, writer: `${LOG}:another` });
    expect(election).toMatchObject({ epoch: 5, isElected: false, stopped: undefined });
    expect(election.grant.writer).toBe(`${LOG}:writer-2`);
  });

  it('by another log stops for good', async () => {
    const { election, store } = await newElection();
    await election.fenced({ epoch: 4, writer: 'others:x' });
    expect(election.stopped).toMatchObject({ code: 'FENCED', message: expect.stringContaining('(others)') });
    await election.fenced({ epoch: 9, writer: `${LOG}:another` });
    expect(election).toMatchObject({ epoch: 1, stopped: { code: 'FENCED' } });
    expect(await Election.open(store, LOG, () => 'x')).toMatchObject({ stopped: { code: 'FENCED' } });
  });

  it('by an epoch below its own is not', async () => {
    const { election } = await newElection({ epoch: 7, writer: `${LOG}:x`, isElected: true });
    await election.fenced({ epoch: 6, writer: 'others:x' });
    expect(election).toMatchObject({ epoch: 7, isElected: true, stopped: undefined });
  });
});

describe('what happens to a writer at once', () => {
  it('is judged in turn: grants of an epoch that was just given up elect nobody', async () => {
    const { election, store } = await newElection();
    await election.granted('a', 1, having('a', 0), policy(2));
    await Promise.all([
      election.fenced({ epoch: 3, writer: `${LOG}:another` }),
      election.granted('b', 1, having('b', 0), policy(2)),
    ]);
    expect(election).toMatchObject({ epoch: 4, isElected: false });
    expect(store.saved.map(({ epoch, isElected }) => ({ epoch, isElected }))).toEqual([
      { epoch: 1, isElected: false },
      { epoch: 4, isElected: false },
    ]);
  });

  it('once it has stopped, stays stopped', async () => {
    const { election } = await newElection();
    await election.granted('a', 1, having('a', 0), policy(2));
    await Promise.all([
      election.stop({ code: 'FORKED', message: 'two stories' }),
      election.granted('b', 1, having('b', 0), policy(2)),
      election.fenced({ epoch: 3, writer: 'others:x' }),
    ]);
    expect(election).toMatchObject({ isElected: false, stopped: { code: 'FORKED' } });
  });
});
