import { existsSync } from 'node:fs';
import type { HostProof, ProofKind, SignedText } from '../../domain/replication.js';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../app/config.js';
import { fromBase64, toHex } from '../crypto/bytes.js';
import { knownHost } from '../maintenance/known-hosts.js';
import { hostKeyOf } from '../offgrid/protocol/authentication.js';
import { openClaim } from '../offgrid/protocol/claim.js';
import { FINGERPRINT } from '../offgrid/protocol/fields.js';
import { openHead } from '../offgrid/protocol/head.js';
import { ProtocolError } from '../offgrid/protocol/protocol-error.js';
import { DEFAULT_AUTH_KEY } from '../offgrid/protocol/settings.js';
import { openTree } from '../offgrid/protocol/tree.js';
import { isVerifyKey, verifyKeyOf, type VerifyKey } from '../offgrid/protocol/verify-key.js';
import { signedThingOf } from '../offgrid/replication/signed-text.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';
import { rootKey } from './recovery-key.js';
import { runningCore } from './running-core.js';

/** `sheratan hosts key`: prints the key that a host takes instead of OFFGRID_AUTH_KEY. @throws CliError */
export function printHostKey(host: string, { offgrid }: Config, print: (line: string) => void): number {
  assertFingerprint(host);
  if (offgrid.authKey === DEFAULT_AUTH_KEY)
    throw new CliError(
      'OFFGRID_AUTH_KEY is not set, and the default key is public. Set it to the key that the core has.',
    );
  print(toHex(hostKeyOf(offgrid.authKey, host)));
  return 0;
}

/** What the head of a proof contradicts, by the kind of the proof. */
const AGAINST: Readonly<Record<ProofKind, string>> = {
  STATEMENT: 'the invalid statement in its head',
  BATCH: 'the tree of the batch that it answered with this head',
  CLAIM: 'the claim that it answered with this head',
  RANK: 'the head that was counted before',
};

/** `sheratan hosts evidence`: prints both sides of the proof against a host, and whether they verify. @throws CliError */
export async function printEvidence(host: string, config: Config, print: (line: string) => void): Promise<number> {
  assertFingerprint(host);
  const row = await hostRow(host, config);
  if (row.proof === null) {
    print(`There is no proof against host ${host} (${row.url}); it is ${row.state}.`);
    return 1;
  }
  const { kind, head, against } = JSON.parse(row.proof) as HostProof;
  const hostKey = fromBase64(row.verify_key);
  const originKey = verifyKeyOf((await rootKey(undefined, config)).verifyKey);
  if (!isVerifyKey(hostKey)) throw new CliError(`The verify key that the log has for host ${host} is invalid.`);
  print(`host ${host} at ${row.url}, ${kind}, ${row.proven_at ?? ''}: ${row.why}`);
  const sides: [string, SignedText, (text: SignedText) => object][] = [
    ['its head', head, (text) => openHead(signedThingOf('head', text), hostKey).value],
  ];
  if (against !== null) sides.push([AGAINST[kind], against, opener(kind, hostKey, originKey)]);
  for (const [what, text, open] of sides) {
    print('');
    print(`${what}:`);
    print(`  content    ${toHex(fromBase64(text[0]))}`);
    print(`  signature  ${toHex(fromBase64(text[1]))}`);
    print(`  ${read(text, open)}`);
  }
  return 0;
}

function opener(kind: ProofKind, hostKey: VerifyKey, originKey: VerifyKey): (text: SignedText) => object {
  if (kind === 'CLAIM') return (text) => openClaim(signedThingOf('claim', text), originKey).value;
  if (kind === 'RANK') return (text) => openHead(signedThingOf('head', text), hostKey).value;
  return (text) => openTree(signedThingOf('tree', text), originKey).value;
}

function read(text: SignedText, open: (text: SignedText) => object): string {
  try {
    const shown = (_: string, value: unknown) => (value instanceof Uint8Array ? toHex(value) : value);
    return `verifies    ${JSON.stringify(open(text), shown)}`;
  } catch (error) {
    if (error instanceof ProtocolError) return `does not verify: ${error.message}`;
    throw error;
  }
}

async function hostRow(host: string, config: Config): Promise<HostRow> {
  const { outbox } = corePaths(config.dataDir);
  if (!existsSync(outbox))
    throw new CliError(`There is no outbox at ${outbox}. Set SHERATAN_DATA_DIR to the data folder of a core.`);
  const row = await knownHost(corePaths(config.dataDir).outbox, host);
  if (row === undefined) throw new CliError(`No policy of this core has named host '${host}'. Check the fingerprint.`);
  return row;
}

/** `sheratan hosts begin-line`: makes the core that runs on this data folder rank its log above all others. @throws CliError */
export async function beginLine(origin: string, config: Config, print: (line: string) => void): Promise<number> {
  const ask = await runningCore(config);
  const { beginLine: begun } = await ask<{ beginLine: { line?: number; message?: string } }>(
    'mutation ($origin: String!) { beginLine(origin: $origin) { ... on BeginLinePayload { line } ... on Problem { message } } }',
    { origin },
  );
  if (begun.line === undefined) throw new CliError(begun.message ?? 'The core did not report a result. See its log.');
  print(
    `Line ${begun.line} begins with the next policy, which the core records now. Older lines no longer stop this core.`,
  );
  return 0;
}

/** `sheratan writer resume`: makes the core that runs on this data folder forget why it was halted. @throws CliError */
export async function resumeWriter(config: Config, print: (line: string) => void): Promise<number> {
  const ask = await runningCore(config);
  const { resumeWriter: resumed } = await ask<{ resumeWriter: { position?: string; message?: string } }>(
    'mutation { resumeWriter { ... on ResumeWriterPayload { position } ... on Problem { message } } }',
  );
  if (resumed.position === undefined)
    throw new CliError(resumed.message ?? 'The core did not report a result. See its log.');
  print('The core claims the hosts again and is checked again. See /readyz for the result.');
  return 0;
}

function assertFingerprint(host: string): void {
  if (!FINGERPRINT.test(host))
    throw new CliError(`'${host}' must be a fingerprint: 32 hexadecimal digits, as a host prints it when it starts`);
}
