import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { sodium } from '../../../../src/infra/crypto/sodium.js';
import { pathOf } from '../../../support/machine.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { flipped } from '../../../support/offgrid/protocol-2.js';

const CHECK = fileURLToPath(new URL('../../../support/offgrid/foreign_host/check.py', import.meta.url));
const VECTORS = fileURLToPath(new URL('../../../vectors/protocol-2.json', import.meta.url));
/** The order of the base point of Ed25519. */
const ORDER = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;

/** Runs check.py; resolves with its exit code and output. */
function run(args: readonly string[], input = ''): Promise<{ readonly code: unknown; readonly printed: string }> {
  const python = pathOf('Python');
  return new Promise((resolve) => {
    const child = execFile(python, ['-B', CHECK, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, printed: stdout + stderr });
    });
    child.stdin?.end(input);
  });
}

describe('the code of the host in Python', { timeout: 120_000 }, () => {
  it('agrees with the vectors of the protocol', async () => {
    expect(await run(['vectors', VECTORS])).toEqual({ code: 0, printed: '50 checks hold.\n' });
  });

  it.each([
    ['another leaf', /("leaf": ")d3/, '$1d4', 'leaf 1 is'],
    ['another signature', /("signature": "f)9/, '$18', 'the signature of tree is'],
    ['another HMAC', /("hmac": ")5c/, '$15d', 'the HMAC of a request is'],
  ])('reports %s', async (_what, pattern, replacement, message) => {
    const file = join(await newFolder(), 'protocol-2.json');
    await cp(VECTORS, file);
    const text = await readFile(file, 'utf8');
    const changed = text.replace(pattern, replacement);
    expect(changed).not.toBe(text);
    await writeFile(file, changed);
    const { code, printed } = await run(['vectors', file]);
    expect(printed).toContain(message);
    expect(code).toBe(1);
  });
});

interface Case {
  readonly key: string;
  readonly message: string;
  readonly signature: string;
}

/** Signatures on which implementations differ, and whether libsodium accepts them. */
const ODD: readonly (readonly [string, boolean, Case])[] = [
  [
    'a key with a part of small order, which needs the cofactor',
    false,
    {
      key: 'b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b',
      message: '6d30',
      signature:
        '6b12d4d055bd943206034b402ebe601bf715a3bbe772cdac6ab65b94d9a07bf648fb01ca7d6774bf8130154bf0d7f64fa832f9adf0019cefdb53c1fe8001ca01',
    },
  ],
  [
    'such a key where that part vanishes',
    true,
    {
      key: 'b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b',
      message: '6d33',
      signature:
        '6b12d4d055bd943206034b402ebe601bf715a3bbe772cdac6ab65b94d9a07bf64a9fe893ea3faf80af0eefb5a3b4195e5c7fa131eedbdaeef2126d3a880d060d',
    },
  ],
  [
    'an R of small order',
    false,
    {
      key: '8fecec2c3e870f5854021f39ec68e2977e367e344858831d5f3dd204ade54367',
      message: '6d30',
      signature:
        '0100000000000000000000000000000000000000000000000000000000000000ebd1a78d897494db4be756b350bff86a86a223daba91a80a5a1715def618fc0a',
    },
  ],
  [
    'a key of small order',
    false,
    {
      key: '0100000000000000000000000000000000000000000000000000000000000000',
      message: '6d30',
      signature:
        '28ee7789ca0f8102e75aa66786de22f63c8fe91fec1bc185c5cd531b8756ce769f86010000000000000000000000000000000000000000000000000000000000',
    },
  ],
];

describe('a signature', { timeout: 120_000 }, () => {
  it('is accepted in Python exactly when libsodium accepts it', async () => {
    const cases: Case[] = ODD.map(([, , odd]) => odd);
    for (let i = 0; i < 8; i += 1) {
      const { publicKey, privateKey } = sodium.crypto_sign_keypair();
      const message = sodium.randombytes_buf(40);
      const signature = sodium.crypto_sign_detached(message, privateKey);
      const response = littleEndian(signature.subarray(32)) + ORDER;
      cases.push(
        caseOf(publicKey, message, signature),
        caseOf(publicKey, message, flipped(signature, 37 * i)),
        caseOf(publicKey, flipped(message, i), signature),
        caseOf(flipped(publicKey, 31 * i), message, signature),
        caseOf(publicKey, message, Buffer.concat([signature.subarray(0, 32), toLittleEndian(response)])),
      );
    }
    // A y that is not below the prime: 2 and 2^255 - 1, with either sign of x.
    for (const key of [`ef${'ff'.repeat(30)}7f`, 'ff'.repeat(32), `ef${'ff'.repeat(31)}`])
      cases.push({ ...cases[0]!, key });
    const verdicts = cases.map(({ key, message, signature }) => {
      const [k, m, s] = [key, message, signature].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
      return sodium.crypto_sign_verify_detached(s!, m!, k!);
    });
    expect(verdicts.slice(0, ODD.length)).toEqual(ODD.map(([, isValid]) => isValid));
    expect(verdicts.filter((isValid) => isValid).length).toBe(1 + 8);
    const { code, printed } = await run(['signatures'], JSON.stringify(cases));
    expect({ code, verdicts: JSON.parse(printed) as unknown }).toEqual({ code: 0, verdicts });
  });
});

function caseOf(key: Uint8Array, message: Uint8Array, signature: Uint8Array): Case {
  const [k, m, s] = [key, message, signature].map((bytes) => Buffer.from(bytes).toString('hex'));
  return { key: k!, message: m!, signature: s! };
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function toLittleEndian(number: bigint): Buffer {
  return Buffer.from(number.toString(16).padStart(64, '0'), 'hex').reverse();
}
