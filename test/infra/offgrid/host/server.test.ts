import { describe, expect, it } from 'vitest';
import { MerkleFrontier } from '../../../../src/domain/merkle.js';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import { publicKeyOf } from '../../../../src/infra/crypto/signing.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { isSigned } from '../../../../src/infra/offgrid/wire/head.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { clientOf, ORIGIN, Writer } from '../../../support/offgrid/writer.js';

function rootOf(events: readonly AddressedEvent[]): string {
  const tree = new MerkleFrontier(sha256);
  for (const { eid } of events) tree.append(eid);
  return toHex(tree.root());
}

describe('a host', () => {
  it('signs for what it took, and gives it back', async () => {
    const host = await newHost();
    const client = clientOf(host);
    const writer = new Writer();
    const claimed = await writer.claim(client);
    expect(claimed).toMatchObject({ tag: 'head/v1', sequence: 0, epoch: 0, challenge: 'challenge-challenge' });

    const events = writer.events(1, 20, 'a', 300).concat(writer.events(21, 22, 'a', 5_000));
    const head = await writer.ship(client, events);
    expect(head).toMatchObject({
      host: host.identity.id,
      origin: ORIGIN,
      epoch: 1,
      sequence: 22,
      root: rootOf(events),
    });
    expect(isSigned(head, publicKeyOf(host.identity.verifyKey)!)).toBe(true);
    const back = await client.events(ORIGIN, 0, 100);
    expect(back).toEqual(events.map(({ eid: _, sealed, ...event }) => ({ ...event, sealed: new Uint8Array(sealed) })));
    expect(await client.rootAt(ORIGIN, 7)).toBe(rootOf(events.slice(0, 7)));
  });

  it('has after a restart what it had signed for', async () => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    const writer = new Writer();
    await writer.claim(clientOf(host));
    const events = writer.events(1, 3, 'a', 2_000);
    const before = await writer.ship(clientOf(host), events);
    await host.close();
    const again = await newHost({ folder });
    expect(again.identity.id).toBe(host.identity.id);
    const { ts: _, signature: __, challenge: ___, ...head } = await writer.claim(clientOf(again));
    expect(before).toMatchObject(head);
  });
});
