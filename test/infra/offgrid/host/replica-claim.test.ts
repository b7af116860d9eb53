import { randomBytes } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { describe, expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { publicKeyOf } from '../../../../src/infra/crypto/signing.js';
import { MAX_EPOCH, signClaim } from '../../../../src/infra/offgrid/wire/claim.js';
import { isSigned } from '../../../../src/infra/offgrid/wire/head.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { send } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, to, Writer } from '../../../support/offgrid/writer.js';

const CHALLENGE = 'challenge-challenge';
const CLAIM = `/replica/${ORIGIN}/claim`;

describe('a host grants a claim', () => {
  it('of the first who comes, and signs for nothing', async () => {
    const host = await newHost();
    const head = await new Writer().claim(clientOf(host), 'another-challenge');
    expect(head).toMatchObject({ sequence: 0, epoch: 0, origin: ORIGIN, challenge: 'another-challenge' });
    expect(isSigned(head, publicKeyOf(host.identity.verifyKey)!)).toBe(true);
  });

  it('of the same writer again', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    await writer.claim(client);
    await writer.ship(client, writer.events(1, 2));
    expect(await writer.claim(client)).toMatchObject({ sequence: 2, epoch: 1 });
  });

  it('of a higher epoch, and says under which epoch the last event came', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    await writer.claim(client);
    await writer.ship(client, writer.events(1, 2));
    expect(await writer.next(7).claim(client)).toMatchObject({ sequence: 2, epoch: 1 });
    await expect(writer.ship(client, writer.events(3, 3))).rejects.toMatchObject({
      code: 'FENCED',
      details: { granted: { epoch: 7, writer: 'abcdef:writer-7' } },
    });
  });

  it('of the highest epoch there can be', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    await writer.next(MAX_EPOCH).claim(client);
    await expect(writer.next(MAX_EPOCH - 1).claim(client)).rejects.toMatchObject({ code: 'FENCED' });
    await writer.next(MAX_EPOCH).ship(client, writer.events(1, 1));
  });

  it('of several origins, each with its own key', async () => {
    const client = clientOf(await newHost());
    await new Writer().claim(client);
    const other = RootKey.generate();
    const claim = signClaim(other, await to(client, 'core-v3'), {
      epoch: 1,
      writer: 'abcdef:writer-1',
      challenge: CHALLENGE,
    });
    expect(await client.claim('core-v3', claim)).toMatchObject({ origin: 'core-v3', sequence: 0 });
  });
});

describe('a host fences', () => {
  const cases = [
    { what: 'a lower epoch', epoch: 4, writer: 'abcdef:writer-5' },
    { what: 'a lower epoch of another', epoch: 1, writer: 'abcdef:writer-1' },
    { what: 'the same epoch of another', epoch: 5, writer: 'abcdef:writer-6' },
  ];

  it.each(cases)('$what, and names who may write, also after a restart', async ({ epoch, writer: other }) => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    const writer = new Writer();
    await writer.next(5).claim(clientOf(host));
    const fenced = { code: 'FENCED', details: { granted: { epoch: 5, writer: 'abcdef:writer-5' } } };
    await expect(writer.next(epoch, other).claim(clientOf(host))).rejects.toMatchObject(fenced);
    await host.close();
    const again = clientOf(await newHost({ folder }));
    await expect(writer.next(epoch, other).claim(again)).rejects.toMatchObject(fenced);
    await writer.next(5).claim(again);
  });

  it('all but one of those who claim the same epoch at once', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    const claims = Array.from({ length: 20 }, (_, i) => writer.next(3, `abcdef:racing-${i}-writer`).claim(client));
    const settled = await Promise.allSettled(claims);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a host refuses a claim that the origin did not sign,', () => {
  async function held() {
    const folder = await newFolder();
    const host = await newHost({ folder });
    const writer = new Writer();
    await writer.claim(clientOf(host));
    const claim = signClaim(writer.root, await to(clientOf(host)), {
      epoch: 2,
      writer: 'abcdef:writer-2',
      challenge: CHALLENGE,
    });
    const unharmed = async () => {
      expect(await writer.claim(clientOf(host))).toMatchObject({ sequence: 0 });
    };
    return { folder, host, client: clientOf(host), writer, claim, unharmed };
  }
  const notSigned = { code: 'NOT_SIGNED' };

  it('by another key, whatever its epoch', async () => {
    const { client, unharmed } = await held();
    await expect(new Writer().next(MAX_EPOCH).claim(client)).rejects.toMatchObject(notSigned);
    await unharmed();
  });

  it('by another key under the name of the right one', async () => {
    const { client, claim, unharmed } = await held();
    const forged = signClaim(RootKey.generate(), await to(client), claim);
    await expect(client.claim(ORIGIN, { ...forged, key: claim.key })).rejects.toMatchObject(notSigned);
    await unharmed();
  });

  it('with anything in it changed', async () => {
    const { client, claim, unharmed } = await held();
    const changed = [
      { ...claim, epoch: 3 },
      { ...claim, writer: 'abcdef:writer-3' },
      { ...claim, challenge: `${CHALLENGE}!` },
      { ...claim, signature: '' },
      { ...claim, signature: Buffer.alloc(64).toString('base64') },
    ];
    for (const forged of changed) await expect(client.claim(ORIGIN, forged)).rejects.toMatchObject(notSigned);
    await unharmed();
  });

  it('or signed for another origin', async () => {
    const { client, claim, writer } = await held();
    await client.claim('core-v3', signClaim(writer.root, await to(client, 'core-v3'), claim));
    await expect(client.claim('core-v3', { ...claim, epoch: 2 })).rejects.toMatchObject(notSigned);
  });

  it('or signed for another host', async () => {
    const { client, writer, unharmed } = await held();
    const elsewhere = { ...(await to(client)), host: '0123456789abcdef0123456789abcdef' };
    const claim = signClaim(writer.root, elsewhere, { epoch: 2, writer: 'abcdef:writer-2', challenge: CHALLENGE });
    await expect(client.claim(ORIGIN, claim)).rejects.toMatchObject(notSigned);
    await unharmed();
  });

  it('as a batch, or with a head', async () => {
    const { client, writer, unharmed } = await held();
    const batch = await writer.batch(client, writer.events(1, 1));
    const { signature } = await client.head(ORIGIN, CHALLENGE);
    const claim = signClaim(writer.root, await to(client), {
      epoch: 2,
      writer: 'abcdef:writer-2',
      challenge: CHALLENGE,
    });
    await expect(client.claim(ORIGIN, { ...claim, signature })).rejects.toMatchObject(notSigned);
    expect(batch.byteLength).toBeGreaterThan(0);
    await unharmed();
  });

  it('also of an origin it does not know, and pins nothing', async () => {
    const client = clientOf(await newHost());
    const writer = new Writer();
    const claim = signClaim(writer.root, await to(client), {
      epoch: 1,
      writer: 'abcdef:writer-1',
      challenge: CHALLENGE,
    });
    await expect(client.claim(ORIGIN, { ...claim, epoch: 9 })).rejects.toMatchObject(notSigned);
    await expect(client.claim(ORIGIN, { ...claim, key: 'AAAA' })).rejects.toMatchObject(notSigned);
    await expect(client.head(ORIGIN, CHALLENGE)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await new Writer().claim(client);
  });

  it('and keeps to the key it pinned after a restart', async () => {
    const { folder, host, writer } = await held();
    await host.close();
    const client = clientOf(await newHost({ folder }));
    await expect(new Writer().next(9).claim(client)).rejects.toMatchObject(notSigned);
    await writer.claim(client);
  });
});

describe('a host refuses what is no claim,', () => {
  const claim = signClaim(
    RootKey.generate(),
    { origin: ORIGIN, host: 'any' },
    { epoch: 1, writer: 'abcdef:writer-1', challenge: CHALLENGE },
  );
  const junk: [string, Uint8Array][] = [
    ['nothing', new Uint8Array()],
    ['noise', randomBytes(300)],
    ['text', Buffer.from('{"epoch":1}')],
    ['a claim and more', Buffer.concat([encode(claim), Buffer.of(0)])],
    ['a claim cut short', encode(claim).subarray(0, -1)],
    ['a list of a million million', Buffer.from('9b000000e8d4a51000', 'hex')],
    ['a text of a million million bytes', Buffer.from('7b000000e8d4a51000', 'hex')],
    ['lists in lists', Buffer.alloc(1_000_000, 0x81)],
    ['one of epoch 0', encode({ ...claim, epoch: 0 })],
    ['one of a negative epoch', encode({ ...claim, epoch: -1 })],
    ['one of half an epoch', encode({ ...claim, epoch: 1.5 })],
    ['one of too high an epoch', encode({ ...claim, epoch: MAX_EPOCH + 1 })],
    ['one of an epoch beyond all numbers', encode({ ...claim, epoch: 2n ** 63n })],
    ['one with a strange writer', encode({ ...claim, writer: 'abcdef:<script>alert(1)</script>' })],
    ['one with a short challenge', encode({ ...claim, challenge: 'short' })],
    ['one with more in it', encode({ ...claim, more: true })],
  ];

  it('each of these', async () => {
    const host = await newHost();
    for (const [what, body] of junk) {
      const { status, json } = await send(host, CLAIM, { method: 'POST', body });
      expect({ what, status, json }).toMatchObject({ what, status: 400, json: { error: { code: 'BAD_REQUEST' } } });
    }
    expect((await send(host, `/replica/${ORIGIN}/head`)).status).toBe(404);
    await new Writer().claim(clientOf(host));
  });

  it('one of an origin with a strange name', async () => {
    const host = await newHost();
    for (const origin of ['-core', 'core%2Fv2', 'a'.repeat(65), 'a'.repeat(5_000), 'c%20re', '%F0%9F%92%A3', '%zz']) {
      const { status } = await send(host, `/replica/${origin}/claim`, { method: 'POST', body: encode(claim) });
      expect([400, 404], origin).toContain(status);
    }
  });
});
