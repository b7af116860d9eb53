import { describe, expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { claimIn, newHost2, ORIGIN, Process, Reader, History, type Refused } from '../../../support/offgrid/host-2.js';

const refusedWith = (code: string) => expect.objectContaining({ code });

describe('a claim', () => {
  it('is granted when nothing was, and pins the key', async () => {
    const host = await newHost2();
    const first = new Process(RootKey.generate());
    const nothing = { tree: null, staged: null, claim: null, key: null, damaged: 0 };
    expect(await new Reader(host, first.root).head()).toMatchObject(nothing);
    expect(await first.claim(host)).toMatchObject({
      ...nothing,
      claim: { epoch: 1, writer: first.writer },
      key: new Uint8Array(first.key),
    });
    const stranger = new Process(RootKey.generate(), 9);
    await expect(stranger.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    expect(await first.claim(host)).toMatchObject({ claim: { epoch: 1, writer: first.writer } });
  });

  it('is refused below what was granted, and beside it, with the claim that was', async () => {
    const host = await newHost2();
    const root = RootKey.generate();
    const third = new Process(root, 3);
    await third.claim(host);
    for (const other of [new Process(root, 2), new Process(root, 3, 'abcdef:another-writer')]) {
      const error: unknown = await other.claim(host).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'FENCED', status: 403 });
      expect(claimIn((error as Refused).refusal, third.key)).toMatchObject({ epoch: 3, host: host.identity.id });
    }
    await new Process(root, 4).claim(host);
    await expect(third.claim(host)).rejects.toEqual(refusedWith('FENCED'));
  });

  it('is good at the host and for the origin that it names', async () => {
    const host = await newHost2();
    const first = new Process(RootKey.generate());
    await expect(first.claim(host, { origin: 'other' })).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await expect(first.claim(host, { host: '0'.repeat(32) })).rejects.toEqual(refusedWith('NOT_SIGNED'));
    expect(await new Reader(host, first.root).head()).toMatchObject({ claim: null, key: null });
  });

  it('lasts over a restart, as does all that is kept', async () => {
    const folder = await newFolder();
    const host = await newHost2({ folder });
    const history = History.begin().on(5, { bytes: 2_000 });
    const first = new Process(history.root, 7);
    await first.claim(host);
    await first.ship(host, history, 1, 3, { quorum: 2 });
    await first.ship(host, history, 4, 5, { base: 9 });
    const before = await new Reader(host, history.root).head();
    await host.close();
    const again = await newHost2({ folder });
    expect(again.identity.id).toBe(host.identity.id);
    expect(await new Reader(again, history.root).head()).toEqual(before);
    await expect(new Process(history.root, 6).claim(again)).rejects.toEqual(refusedWith('FENCED'));
    await first.ship(again, history.on(4), 6, 9, { base: 9 });
    expect(await new Reader(again, history.root).head()).toMatchObject({ tree: { sequence: 9 }, staged: null });
  });
});

describe('keys by configuration', () => {
  it('let nobody else in', async () => {
    const [own, stranger] = [new Process(RootKey.generate()), new Process(RootKey.generate())];
    const host = await newHost2({ origins: new Map([[ORIGIN, own.key]]) });
    await expect(stranger.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    expect(await own.claim(host)).toMatchObject({ claim: { epoch: 1 } });
    const other = await newHost2({ origins: new Map([['core-v3', own.key]]) });
    await expect(own.claim(other)).rejects.toEqual(refusedWith('NOT_SIGNED'));
  });

  it('hold against a key that was pinned before, and spoil nothing', async () => {
    const folder = await newFolder();
    const history = History.begin().on(3);
    const [first, second] = [new Process(history.root), new Process(RootKey.generate())];
    const before = await newHost2({ folder });
    await first.claim(before);
    await first.ship(before, history);
    await before.close();
    const host = await newHost2({ folder, origins: new Map([[ORIGIN, second.key]]) });
    await expect(first.ship(host, history, 4, 3)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await expect(first.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await expect(second.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await host.close();
    const again = await newHost2({ folder });
    expect(await first.ship(again, history, 4, 3)).toMatchObject({ tree: { sequence: 3 } });
  });
});
