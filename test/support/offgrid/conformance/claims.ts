import { describe, expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { claimIn, Process, Reader, History, type Refused } from '../by-hand.js';
import type { StartHost } from './conforming-host.js';

const refusedWith = (code: string) => expect.objectContaining({ code });

/** The cases for claims. */
export function claimCases(start: StartHost): void {
  describe('a claim', () => {
    it('is granted when none was granted before, and pins the key', async () => {
      const host = await start();
      const first = new Process(RootKey.generate());
      const nothing = { tree: null, staged: null, claim: null, key: null, damaged: 0 };
      expect(await new Reader(host, first.root).head()).toMatchObject(nothing);
      expect(await first.claim(host)).toMatchObject({
        ...nothing,
        claim: { epoch: 1, writer: first.writer },
        key: new Uint8Array(first.key),
      });
      const impostor = new Process(RootKey.generate(), 9);
      await expect(impostor.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
      expect(await first.claim(host)).toMatchObject({ claim: { epoch: 1, writer: first.writer } });
    });

    it('of a lower epoch, or of another writer in the same one, is refused with the granted claim', async () => {
      const host = await start();
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

    it('is valid only at the host and for the origin that it names', async () => {
      const host = await start();
      const first = new Process(RootKey.generate());
      await expect(first.claim(host, { origin: 'other' })).rejects.toEqual(refusedWith('NOT_SIGNED'));
      await expect(first.claim(host, { host: '0'.repeat(32) })).rejects.toEqual(refusedWith('NOT_SIGNED'));
      expect(await new Reader(host, first.root).head()).toMatchObject({ claim: null, key: null });
    });

    it('survives a restart, like everything that the host keeps', async () => {
      const host = await start();
      const history = History.begin().on(5, { bytes: 2_000 });
      const first = new Process(history.root, 7);
      await first.claim(host);
      await first.ship(host, history, 1, 3, { quorum: 2 });
      await first.ship(host, history, 4, 5, { base: 9 });
      const before = await new Reader(host, history.root).head();
      const { id } = host.identity;
      await host.restart();
      expect(host.identity.id).toBe(id);
      expect(await new Reader(host, history.root).head()).toEqual(before);
      await expect(new Process(history.root, 6).claim(host)).rejects.toEqual(refusedWith('FENCED'));
      await first.ship(host, history.on(4), 6, 9, { base: 9 });
      expect(await new Reader(host, history.root).head()).toMatchObject({ tree: { sequence: 9 }, staged: null });
    });
  });
}
