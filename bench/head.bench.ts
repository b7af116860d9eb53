/**
 * The cost of a head: the host signs one for each batch, over the origin's tree and claim, and the core verifies all three.
 * It is compared with the bare calls of the libraries on the same bytes, DAG-CBOR and Ed25519. Bytes and microseconds are
 * printed as well.
 */
import { randomBytes, sign } from 'node:crypto';
import { decode, encode } from '@ipld/dag-cbor';
import { RootKey } from '../src/infra/crypto/root-key.js';
import { sodium } from '../src/infra/crypto/sodium.js';
import { signClaim } from '../src/infra/offgrid/protocol/claim.js';
import { decodeHeadAnswer, signHead, type Head } from '../src/infra/offgrid/protocol/head.js';
import { encodeSigned } from '../src/infra/offgrid/protocol/signed.js';
import { signTree } from '../src/infra/offgrid/protocol/tree.js';
import { verifyHead } from '../src/infra/offgrid/protocol/verify-head.js';
import { verifyKeyOf } from '../src/infra/offgrid/protocol/verify-key.js';
import { perSecond, perSecondText, result, Rounds, setting } from './support/measure.js';

const FLOOR = 0.5;
/** What is signed is read back first, as strictly as its receiver reads it. */
const SIGN_FLOOR = 0.3;
const HEADS = setting('BENCH_HEADS', 2_000);
const [origin, host] = [RootKey.generate(), RootKey.generate()];
const [originKey, hostKey] = [verifyKeyOf(origin.verifyKey), verifyKeyOf(host.verifyKey)];
const ID = 'ab'.repeat(16);
const [root, request] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
const writer = 'abcdef:0123456789abcdef';
const known = { ts: Date.now(), base: 90_000, line: 1, epoch: 17, origin: 'core-v2', writer };
const tree = signTree(
  { ...known, sequence: 100_000, root, begun: root, quorum: 99_000, quorumRoot: root },
  origin.signingKey,
);
const claim = signClaim({ host: ID, epoch: 17, origin: 'core-v2', writer }, origin.signingKey);
const head: Head = {
  ...{ ts: Date.now(), key: originKey, host: ID, tree, claim, origin: 'core-v2', staged: null, damaged: 0, request },
};
const answer = encodeSigned(signHead(head, host.signingKey));
const { content } = decodeHeadAnswer(answer);
const decoded: unknown = decode(content);
const bare = [content, tree.content, claim.content].map((bytes, i) => {
  const [{ signingKey }, key] = i === 0 ? ([host, hostKey] as const) : ([origin, originKey] as const);
  return { bytes, key, signature: sign(null, bytes, signingKey) };
});
const expected = { host: ID, hostKey, origin: 'core-v2', originKey };

const repeat = (work: () => void) =>
  perSecond(HEADS, () => {
    for (let i = 0; i < HEADS; i += 1) work();
    return Promise.resolve();
  });

const rounds = await Rounds.run(setting('BENCH_ROUNDS', 7), {
  signed: () => repeat(() => encodeSigned(signHead(head, host.signingKey))),
  bareSigned: () =>
    repeat(() => {
      const bytes = encode(decoded);
      decode(bytes);
      sign(null, bytes, host.signingKey);
    }),
  verified: () => repeat(() => verifyHead({ head: decodeHeadAnswer(answer), request }, expected)),
  bareVerified: () =>
    repeat(() => {
      for (const { bytes, key, signature } of bare) {
        sodium.crypto_sign_verify_detached(signature, bytes, key);
        decode(bytes);
      }
    }),
});
const micros = (name: string) => `${(1e6 / rounds.median(name)).toFixed(0)} µs`;
const figures = (ours: string, limit: string) =>
  `${micros(ours)} a head of ${answer.byteLength} bytes (${perSecondText(rounds.median(ours))}), ${micros(limit)} by the libraries alone`;
result('head-sign', rounds.ratio('signed', 'bareSigned'), { floor: SIGN_FLOOR }, figures('signed', 'bareSigned'));
result('head-verify', rounds.ratio('verified', 'bareVerified'), { floor: FLOOR }, figures('verified', 'bareVerified'));
