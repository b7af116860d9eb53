/**
 * Sealing texts of events of 512 bytes into envelopes, compared with the bare calls of libsodium that this needs, on the
 * same bytes: the keyed hash that is the nonce, and the cipher. Also printed: all that the replicator does with an event
 * before it is shipped (canonical JSON, envelope, address).
 */
import { encode } from '@ipld/dag-cbor';
import { seal } from '../src/infra/crypto/envelope.js';
import { RootKey } from '../src/infra/crypto/root-key.js';
import { sodium } from '../src/infra/crypto/sodium.js';
import { eventText } from '../src/infra/offgrid/protocol/event-text.js';
import { Sealer } from '../src/infra/offgrid/protocol/sealer.js';
import { perSecond, perSecondText, result, Rounds, setting } from './support/measure.js';
import { replicatedEvents } from './support/replicated-events.js';

const FLOOR = 0.6;
const ORIGIN = 'bench';
const BLOCK_BYTES = 64;
const events = replicatedEvents(setting('BENCH_SEALS', 20_000));
const root = RootKey.generate();
const { encrypt, nonce: nonceKey } = root.firstDataKey;
const plain = events.map(({ sequence, event }) => {
  const text = eventText(event);
  const bytes = Buffer.from(text);
  const padded = Buffer.alloc((Math.floor(bytes.byteLength / BLOCK_BYTES) + 1) * BLOCK_BYTES);
  bytes.copy(padded);
  const place = { origin: ORIGIN, sequence, etype: event.etype, at: Date.parse(event.metadata.at) };
  const aad = encode([1, place.origin, place.sequence, place.etype, place.at]);
  return { place, text, padded, aad, hashed: Buffer.concat([aad, padded]) };
});

const rounds = await Rounds.run(setting('BENCH_ROUNDS', 11), {
  ours: () =>
    perSecond(events.length, () => {
      for (const { place, text } of plain) seal(root.firstDataKey, place, text);
      return Promise.resolve();
    }),
  whole: () =>
    perSecond(events.length, () => {
      const sealer = new Sealer(root, ORIGIN);
      for (const event of events) sealer.seal(event, []);
      return Promise.resolve();
    }),
  raw: () =>
    perSecond(events.length, () => {
      for (const { padded, aad, hashed } of plain) {
        const nonce = sodium.crypto_generichash(24, hashed, nonceKey);
        sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, aad, null, nonce, encrypt);
      }
      return Promise.resolve();
    }),
});

const figures = `${perSecondText(rounds.median('ours'))} against ${perSecondText(rounds.median('raw'))} raw; ${perSecondText(rounds.median('whole'))} from event to address`;
result('seal', rounds.ratio('ours', 'raw'), { floor: FLOOR }, figures);
