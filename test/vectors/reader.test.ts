import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pathOf } from '../support/machine.js';
import { FOLDER } from './vectors.js';

const NAMES = ['keys', 'envelopes', 'roots', 'epochs', 'protocol-2'];

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheratan-vectors-'));
  await Promise.all(NAMES.map((name) => cp(join(FOLDER, `${name}.json`), join(folder, `${name}.json`))));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Its exit code and its output. */
function runReader(): Promise<{ readonly code: unknown; readonly output: string }> {
  const args = ['-B', join(FOLDER, 'reader.py'), folder];
  const python = pathOf('Python');
  return new Promise((resolve) => {
    execFile(python, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, output: stdout + stderr });
    });
  });
}

/** Changes the first place that matches in a file of vectors. */
async function change(name: string, pattern: RegExp, replacement: string): Promise<void> {
  const file = join(folder, `${name}.json`);
  const text = await readFile(file, 'utf8');
  const changed = text.replace(pattern, replacement);
  expect(changed).not.toBe(text);
  await writeFile(file, changed);
}

describe('a reader in another language', () => {
  it('derives the keys, opens the envelopes and seals them again, computes the same roots, and verifies signed statements', async () => {
    expect(await runReader()).toEqual({
      code: 0,
      output: '2 data keys, 10 envelopes, 12 roots, 12 key epochs and 5 signed statements are correct.\n',
    });
  });

  it.each([
    ['another verify key', 'keys', /("verifyKey": )"02/, '$1"03', 'the verify key'],
    ['a bit of a ciphertext', 'envelopes', /b29"/, 'b28"', 'a tag is not that of its ciphertext'],
    ['another root of the tree', 'roots', /c6267c/, 'c6267d', 'the root over 1000 eids'],
    ['another key epoch', 'epochs', /("type": "JobCreated",\s+"keyEpoch": )0/, '$11', 'the key epoch of sequence 1'],
    ['another entry', 'protocol-2', /("entry": "000a0000018bcfe568)7b/, '$17c', 'the entry of event 1'],
    ['another leaf', 'protocol-2', /("leaf": ")d3/, '$1d4', 'the leaf of event 1'],
    ['a bit of the signed content', 'protocol-2', /("content": "a464686f737478203)2/, '$13', 'the signature of claim'],
    ['a bit of a signature', 'protocol-2', /("signature": "f)9/, '$18', 'the signature of tree does not verify'],
    ['another body', 'protocol-2', /("busy": ".+)6e"/, '$16f"', 'the body busy'],
    ['another HMAC of a request', 'protocol-2', /("hmac": ")5c/, '$15d', 'the HMAC of the request'],
    ['another HMAC of an answer', 'protocol-2', /("hmac": ")ef/, '$1ee', 'the HMAC of the answer'],
    [
      'a valid map among those to be refused',
      'protocol-2',
      /a2627473016274/,
      'a2627473016275',
      'a map key twice is accepted',
    ],
    [
      'a valid key among those to be refused',
      'protocol-2',
      /("key": ")01(0+")/,
      '$103$2',
      'a verify key of small order',
    ],
  ])('notices %s', async (_, name, pattern, replacement, what) => {
    await change(name, pattern, replacement);
    const { code, output } = await runReader();
    expect(output).toContain(`The vectors are not correct: ${what}`);
    expect(code).toBe(1);
  });
});
