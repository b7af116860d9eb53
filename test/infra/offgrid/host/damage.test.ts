import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { digests, evidenceOf, inHostFile, rootOf, send } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, Writer } from '../../../support/offgrid/writer.js';

const DAMAGED_SEQUENCE = 4;

/** Flips a bit of the byte in the middle of where some bytes are in a file. */
async function flipBit(path: string, bytes: Uint8Array): Promise<void> {
  const content = await readFile(path);
  const at = content.lastIndexOf(bytes);
  expect(at).toBeGreaterThanOrEqual(0);
  const middle = at + Math.floor(bytes.byteLength / 2);
  content[middle] = content[middle]! ^ 1;
  await writeFile(path, content);
}

/** A host with six events, of which something is damaged while it does not run. */
async function damaged(bytes: number, damage: (folder: string, event: AddressedEvent) => Promise<unknown>) {
  const folder = await newFolder();
  const host = await newHost({ folder });
  const writer = new Writer();
  await writer.claim(clientOf(host));
  const events = writer.events(1, 6, 'a', bytes);
  await writer.ship(clientOf(host), events);
  await host.close();
  await damage(folder, events[DAMAGED_SEQUENCE - 1]!);
  const again = await newHost({ folder });
  return { folder, host: again, client: clientOf(again), writer, events };
}

function blobOf(folder: string, { eid }: AddressedEvent): string {
  const name = toHex(eid);
  return join(folder, 'blobs', name.slice(0, 2), name);
}

const set = (what: string) => (folder: string) =>
  inHostFile(folder, `UPDATE events SET ${what} WHERE sequence = ${DAMAGED_SEQUENCE}`, 'write');
const flipAddress = "eid = unhex(iif(hex(eid) LIKE '0%', '1', '0') || substr(hex(eid), 2))";

const told = [
  {
    what: 'a bit of a file',
    bytes: 2_000,
    damage: (folder: string, event: AddressedEvent) => flipBit(blobOf(folder, event), event.sealed),
  },
  {
    what: 'a file that is gone',
    bytes: 2_000,
    damage: (folder: string, event: AddressedEvent) => rm(blobOf(folder, event)),
  },
  {
    what: 'a file that was cut short',
    bytes: 2_000,
    damage: (folder: string, event: AddressedEvent) => writeFile(blobOf(folder, event), ''),
  },
  {
    what: 'a bit of a row',
    bytes: 300,
    damage: (folder: string, event: AddressedEvent) => flipBit(join(folder, 'host.db'), event.sealed),
  },
  { what: 'a bit of the address of a row', bytes: 300, damage: set(flipAddress) },
  { what: 'a bit of the address of a file', bytes: 2_000, damage: set(flipAddress) },
];

describe('a host tells, and an event that comes again mends,', () => {
  it.each(told)('$what', async ({ bytes, damage }) => {
    const { folder, host, client, writer, events } = await damaged(bytes, damage);
    await expect(client.events(ORIGIN, 0, 10)).rejects.toMatchObject({
      code: 'DAMAGED',
      details: { sequence: DAMAGED_SEQUENCE },
    });
    expect((await send(host, `/replica/${ORIGIN}/events`)).status).toBe(500);
    expect(digests(await client.events(ORIGIN, 0, 3))).toEqual(digests(events.slice(0, 3)));
    expect(digests(await client.events(ORIGIN, 4, 3))).toEqual(digests(events.slice(4)));
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 6, root: rootOf(events) });
    const used = host.freeBytes;

    const head = await writer.ship(client, events.slice(DAMAGED_SEQUENCE - 1, DAMAGED_SEQUENCE));
    expect(head).toMatchObject({ sequence: 6, epoch: 1, root: rootOf(events) });
    expect(digests(await client.events(ORIGIN, 0, 10))).toEqual(digests(events));
    expect(await client.rootAt(ORIGIN, 5)).toBe(rootOf(events.slice(0, 5)));
    expect(await evidenceOf(folder)).toEqual([]);
    expect(host.freeBytes).toBe(used);
  });
});

describe('an event that comes again mends', () => {
  it.each([
    { what: 'its time', damage: set('ts = ts + 4096') },
    { what: 'its type', damage: set('etype = etype + 256') },
    {
      what: 'its row, when that is gone',
      damage: (folder: string) =>
        inHostFile(folder, `DELETE FROM events WHERE sequence = ${DAMAGED_SEQUENCE}`, 'write'),
    },
  ])('$what', async ({ damage }) => {
    const { client, writer, events } = await damaged(300, damage);
    await writer.ship(client, events.slice(1, 5));
    expect(digests(await client.events(ORIGIN, 0, 10))).toEqual(digests(events));
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 6, root: rootOf(events) });
  });

  it('its file, also when it had been set aside meanwhile', async () => {
    const { client, writer, events } = await damaged(2_000, (folder, event) =>
      flipBit(blobOf(folder, event), event.sealed),
    );
    const next = writer.next(2);
    await next.claim(client);
    await next.ship(client, events.slice(0, 2));
    await next.ship(client, events.slice(2));
    expect(digests(await client.events(ORIGIN, 0, 10))).toEqual(digests(events));
  });
});

describe('a host whose addresses are damaged', () => {
  it('takes that for no fork, and signs for nothing on top of it', async () => {
    const { folder, client, writer, events } = await damaged(300, set(flipAddress));
    const next = writer.next(2);
    await expect(writer.ship(client, writer.events(5, 7, 'b'))).rejects.toMatchObject({ code: 'DAMAGED' });
    await next.claim(client);
    await expect(next.ship(client, writer.events(5, 7, 'b'))).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 6, epoch: 1, root: rootOf(events) });
    expect(await evidenceOf(folder)).toEqual([]);
    await next.ship(client, events.slice(2));
    await next.ship(client, writer.events(7, 8, 'b'));
    const all = [...events, ...writer.events(7, 8, 'b')];
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 8, epoch: 2, root: rootOf(all) });
  });
});

it('a host that was killed while it wrote a file clears away what it left', async () => {
  const { folder, host, events } = await damaged(2_000, async (folder, event) => {
    await writeFile(`${blobOf(folder, event)}.0000.tmp`, 'half of');
  });
  const files = await readdir(join(folder, 'blobs'), { recursive: true, withFileTypes: true });
  expect(files.filter((file) => file.isFile())).toHaveLength(events.length);
  await host.close();
});
