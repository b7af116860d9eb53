import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { HostClients } from '../../../../src/infra/offgrid/protocol/host-clients.js';
import { surveyHosts } from '../../../../src/infra/offgrid/restore/host-survey.js';
import { claimCases } from '../../../support/offgrid/conformance/claims.js';
import { startHost2 } from '../../../support/offgrid/conformance/conforming-host.js';
import { AUTH_KEY, newFolder, newHost } from '../../../support/offgrid/host.js';
import { ORIGIN, Process, History, Reader } from '../../../support/offgrid/by-hand.js';

const refusedWith = (code: string) => expect.objectContaining({ code });

claimCases(startHost2);

describe('keys by configuration', () => {
  it('exclude every other origin and key', async () => {
    const [own, impostor] = [new Process(RootKey.generate()), new Process(RootKey.generate())];
    const host = await newHost({ origins: new Map([[ORIGIN, own.key]]) });
    await expect(impostor.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    expect(await own.claim(host)).toMatchObject({ claim: { epoch: 1 } });
    const other = await newHost({ origins: new Map([['core-v3', own.key]]) });
    await expect(own.claim(other)).rejects.toEqual(refusedWith('NOT_SIGNED'));
  });

  it('exclude a key that was pinned before, and damage nothing', async () => {
    const folder = await newFolder();
    const history = History.begin().on(3);
    const other = RootKey.generate();
    const [first, second] = [new Process(history.root), new Process(other)];
    const before = await newHost({ folder });
    await first.claim(before);
    await first.ship(before, history);
    await before.close();
    const host = await newHost({ folder, origins: new Map([[ORIGIN, second.key]]) });
    await expect(first.ship(host, history, 4, 3)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await expect(first.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    await expect(second.claim(host)).rejects.toEqual(refusedWith('NOT_SIGNED'));
    // It shows the key that it keeps the events under, so it is not dishonest to a core with the other key.
    expect(await new Reader(host, history.root).head()).toMatchObject({ tree: { sequence: 3 } });
    const clients = new HostClients(AUTH_KEY, systemClock);
    onTestFinished(() => {
      clients.close();
    });
    const hosts = [{ url: host.url, fingerprint: host.identity.id, weight: 1 }];
    const clientOf = (url: string, id?: string) => clients.of(url, id);
    const { heard, unheard } = await surveyHosts({ origin: ORIGIN, root: other, hosts, clientOf });
    expect(heard).toEqual([]);
    expect(unheard).toEqual([{ url: host.url, why: expect.stringContaining('has another key') as string }]);
    await host.close();
    const again = await newHost({ folder });
    expect(await first.ship(again, history, 4, 3)).toMatchObject({ tree: { sequence: 3 } });
  });
});
