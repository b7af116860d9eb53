import { cp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { Process, Reader, History } from '../../../support/offgrid/by-hand.js';

const GOLDEN = fileURLToPath(new URL('../../../golden/0.1/host-a', import.meta.url));

/** A folder in which a host has run, with a history. */
async function used() {
  const folder = await newFolder();
  const host = await newHost({ folder });
  const history = History.begin().on(4, { bytes: 2_000 });
  const process = new Process(history.root);
  await process.claim(host);
  await process.ship(host, history);
  await host.close();
  return { folder, id: host.identity.id, history, process };
}

describe('a host', () => {
  it('states that it uses protocol 2', async () => {
    const host = await newHost();
    const answer = await fetch(`${host.url}/pubkeys`);
    expect(await answer.json()).toMatchObject({ node_id: host.identity.id, protocol: 2 });
  });

  it('that lost its disk does not start under its name', async () => {
    const { folder, id } = await used();
    for (const name of ['host.db', 'host.db-wal', 'host.db-shm']) await rm(join(folder, name), { force: true });
    await expect(newHost({ folder })).rejects.toThrow(
      /identity\.pem exists, but .*host\.db does not.*must become another/s,
    );
    await rename(join(folder, 'identity.pem'), join(folder, 'lost.pem'));
    expect((await newHost({ folder })).identity.id).not.toBe(id);
  });

  it('does not start with the file of another host', async () => {
    const [one, two] = [await used(), await used()];
    await cp(join(two.folder, 'host.db'), join(one.folder, 'host.db'));
    await expect(newHost({ folder: one.folder })).rejects.toThrow(
      new RegExp(`host\\.db belongs to host ${two.id}, but .* belongs to host ${one.id}`),
    );
  });

  it('without its identity becomes another host, with the stored events, and without granted claims', async () => {
    const { folder, id, history, process } = await used();
    await rm(join(folder, 'identity.pem'));
    const host = await newHost({ folder });
    expect(host.identity.id).not.toBe(id);
    const reader = new Reader(host, history.root);
    expect(await reader.head()).toMatchObject({ tree: { sequence: 4 }, claim: null });
    await expect(process.ship(host, history, 5, 4)).rejects.toMatchObject({ code: 'NOT_CLAIMED' });
    await process.claim(host);
    await process.ship(host, history, 5, 4);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 4));
  });

  it('refuses a folder of protocol 1, states what to do, and does not change it', async () => {
    const folder = await newFolder();
    await cp(GOLDEN, folder, { recursive: true });
    const before = await readFile(join(folder, 'host.db'));
    await expect(newHost({ folder })).rejects.toThrow(
      /host\.db was written by protocol 1\. Move its folder away and start the host with an empty one/,
    );
    expect((await readFile(join(folder, 'host.db'))).equals(before)).toBe(true);
  });

  it('does not start where another host runs', async () => {
    const { folder } = await used();
    const host = await newHost({ folder });
    await expect(newHost({ folder })).rejects.toThrow(
      /^Another host runs in .+\. Stop it, or choose another --name\.$/,
    );
    await host.close();
    await newHost({ folder });
  });
});
