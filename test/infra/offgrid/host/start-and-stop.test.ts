import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { copyFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { History, Process, Reader } from '../../../support/offgrid/by-hand.js';

/** A folder that a host has used and left. */
async function usedFolder() {
  const folder = await newFolder();
  const host = await newHost({ folder });
  const history = History.begin().on(3);
  const process = new Process(history.root);
  await process.claim(host);
  await process.ship(host, history);
  await host.close();
  return { folder, id: host.identity.id, history };
}

/** Resolves when a server in this process has the head of a POST. */
function posted(): Promise<void> {
  return new Promise((resolve) => {
    const seen = (message: unknown) => {
      if ((message as { readonly request: IncomingMessage }).request.method !== 'POST') return;
      unsubscribe('http.server.request.start', seen);
      resolve();
    };
    subscribe('http.server.request.start', seen);
  });
}

describe('a host that is stopped', () => {
  it('finishes the requests in progress, and takes no more', async () => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    const history = History.begin().on(300, { bytes: 2_000 });
    const process = new Process(history.root);
    await process.claim(host);
    const held = await Connection.open(join(folder, 'host.db'), 'write');
    await held.run('BEGIN IMMEDIATE');
    const isUnderWay = posted();
    const shipping = process.ship(host, history);
    await isUnderWay;
    const closing = host.close();
    await expect
      .poll(() =>
        fetch(`${host.url}/status`).then(
          ({ status }) => status,
          () => 'refused',
        ),
      )
      .toBe('refused');
    await held.close();
    const tree = { sequence: 300, root: history.rootAt(300) };
    expect(await shipping).toMatchObject({ tree });
    await closing;
    await host.close();
    const again = await newHost({ folder });
    const reader = new Reader(again, history.root);
    expect(await reader.head()).toMatchObject({ tree, staged: null, damaged: 0 });
    expect((await reader.entries()).length).toBe(300);
  });
});

describe('a host does not start, and reports one cause,', () => {
  it('when its port is taken, and leaves nothing behind', async () => {
    const [folder, other] = [await newFolder(), await newHost()];
    const port = Number(new URL(other.url).port);
    await expect(newHost({ folder, port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await newHost({ folder });
  });

  it('when its identity is damaged', async () => {
    const { folder, id } = await usedFolder();
    const path = join(folder, 'identity.pem');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const whole = await readFile(path, 'utf8');
    const [, first = '', second = ''] = /^.*\n(-[^]+?-----\n)(-----BEGIN[^]+)$/.exec(whole) ?? [];
    const otherFolder = (await usedFolder()).folder;
    const other = await readFile(join(otherFolder, 'identity.pem'), 'utf8');
    const flipped = [70, 100, 115].map(
      (at) => whole.slice(0, at) + (whole[at] === 'A' ? 'B' : 'A') + whole.slice(at + 1),
    );
    const damaged = [
      '',
      'no keys',
      whole.slice(0, 40),
      whole.slice(0, -40),
      whole.replaceAll('PRIVATE', 'PUBLIC'),
      whole.replace(first, ''),
      whole.replace(second, ''),
      whole.replace(first, second),
      whole.replace(/^.*\n/, ''),
      whole.replace(/^.*\n/, /^.*\n/.exec(other)![0]),
      ...flipped,
    ];
    expect(first.length * second.length).toBeGreaterThan(0);
    for (const text of damaged) {
      await writeFile(path, text);
      await expect(newHost({ folder }), JSON.stringify(text)).rejects.toThrow(/identity\.pem is damaged\. Restore it/);
    }
    await writeFile(path, whole);
    expect((await newHost({ folder })).identity.id).toBe(id);
  });

  it('when its file is not a database, or is of another program or version', async () => {
    const { folder, history } = await usedFolder();
    const path = join(folder, 'host.db');
    await copyFile(path, `${path}.kept`);
    const inFile = async (...statements: string[]) => {
      const connection = await Connection.open(path, 'write');
      for (const statement of statements) await connection.exec(statement);
      await connection.close();
    };
    const damaged = [
      {
        damage: () => writeFile(path, 'no database, but long enough to be read as one: '.repeat(200)),
        message: /cannot be used: .*not a database/,
      },
      {
        damage: () => inFile('CREATE TABLE theirs (id)'),
        message: /host\.db is not a host's file; choose another data folder/,
      },
      { damage: () => inFile('PRAGMA application_id = 7'), message: /host\.db is not a host's file; choose/ },
      {
        damage: () => inFile('CREATE TABLE ours (id)', 'PRAGMA application_id = 1399343215', 'PRAGMA user_version = 3'),
        message: /host\.db is a host's file of format 3; this build reads format 2/,
      },
      // The host has signed for events, which an empty file does not contain.
      { damage: () => writeFile(path, ''), message: /host\.db is empty/ },
    ];
    for (const { damage, message } of damaged) {
      await rm(path);
      await damage();
      const before = await readFile(path);
      await expect(newHost({ folder })).rejects.toThrow(message);
      expect(await readFile(path), 'it is left as it was').toEqual(before);
    }
    await copyFile(`${path}.kept`, path);
    const again = await newHost({ folder });
    expect(await new Reader(again, history.root).head()).toMatchObject({ tree: { sequence: 3 } });
  });
});

it('a host starts when its blobs folder contains other files', async () => {
  const { folder } = await usedFolder();
  await writeFile(join(folder, 'blobs', 'stray'), '');
  await newHost({ folder });
});
